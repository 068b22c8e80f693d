"""Intervals, tests and power for rates and paired differences."""
