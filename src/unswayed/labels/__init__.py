"""Labelling pairs: a labeller writes or selects a target for each."""
