"""What training on a model's own labels does to a behaviour: terms, predictions, their uncertainty"""
