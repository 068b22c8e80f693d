"""Sampling and log-likelihoods with a cache whose slots are reused."""
