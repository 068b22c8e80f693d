"""What training on a model's own labels does to a behaviour: exact terms, predictions, and their uncertainty; no torch but in `gradient`."""
