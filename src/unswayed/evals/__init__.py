"""Measuring: suites, runs, records, metrics and comparisons."""
