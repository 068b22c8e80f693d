"""Sweeps: organism, label, train and eval as cells of a matrix, from one laptop to a cluster."""
