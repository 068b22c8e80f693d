"""Predict from candidates alone what a training will do to a behaviour, seal it, and score it afterwards."""
