"""Intervals of one rate or mean, clustered where samples share an item; rates are fractions of 1.

Wilson's interval, at the effective sample size (the Korn-Graubard idea, 1998, Survey Methodology 24:193) where samples
are clustered or graded. What is unscored is never averaged in; it is counted, and bounds the rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from unswayed.core.types import Estimate
from unswayed.stats.clusters import ALPHA, Floats, clusters, shrink
from unswayed.stats.paired import Interval, paired_difference

__all__ = ["ALPHA", "Interval", "effective_number", "estimate", "paired_difference", "proportion", "wilson"]


def effective_number(values: Floats, groups: Sequence[str]) -> float:
    """Return how many independent zero-one samples know as much of a rate; 0 with a single cluster of several."""
    n, mean = len(values), float(np.mean(values))
    binary = bool(np.isin(values, (0, 1)).all())
    found = clusters(np.asarray(values, dtype=np.float64), groups, float(mean > 0.5))
    if binary and found.count == n:
        return float(n)
    return found.size(mean * (1 - mean) / n, capped=binary) * shrink(found.freedom) if found.count > 1 else 0.0


def proportion(values: Sequence[float], groups: Sequence[str]) -> Interval:
    """Return a rate or a mean of scores with its Wilson interval, at the effective size where one is needed.

    Args:
        values: numbers from 0 to 1, not empty.
        groups: the cluster of each value.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.min() < 0 or data.max() > 1:
        raise ValueError(f"values lie between {data.min()} and {data.max()}; a rate is made of numbers from 0 to 1")
    mean, size = float(data.mean()), effective_number(data, groups)
    if not size:
        return Interval(mean, None, None, "one cluster: no interval")
    if not np.isin(data, (0, 1)).all():
        method = "wilson, graded (effective size)"
    else:
        method = "wilson" if size == len(data) else "wilson, clustered (effective size)"
    return Interval(mean, *wilson(mean, size), method)


def wilson(rate: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95% limits of a rate from `n` samples, which need not be a whole number."""
    low, high = proportion_confint(rate * n, n, ALPHA, method="wilson")
    return min(float(low), rate), max(float(high), rate)  # at 0 and 1 rounding may leave the estimate outside


def estimate(
    values: Sequence[float | None],
    groups: Sequence[str],
    *,
    paired: bool = False,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> Estimate:
    """Return the mean of the scored values with interval, n, clusters, the count of the unscored and what they bound.

    Args:
        values: one for each sample; None where it is unscored.
        groups: the cluster of each sample.
        paired: the values are differences of two outcomes of the same sample, from −1 to 1.
        bounds: the least and the most that each value can be; by default only what is unscored is open.
    """
    scored = [(value, group) for value, group in zip(values, groups, strict=True) if value is not None]
    open_ = (-1.0 if paired else 0.0, 1.0)
    limits = bounds or [open_ if value is None else (value, value) for value in values]
    least, most = (
        (math.fsum(low for low, _ in limits) / len(limits), math.fsum(high for _, high in limits) / len(limits))
        if any(low != high for low, high in limits)
        else (None, None)
    )
    unscored = len(values) - len(scored)
    if not scored:
        return Estimate(None, None, None, 0, 0, unscored, "nothing scored", least, most)
    kept, names = [value for value, _ in scored], [group for _, group in scored]
    found = (paired_difference if paired else proportion)(kept, names)
    return Estimate(
        found.value, found.low, found.high, len(scored), len(set(names)), unscored, found.method, least, most
    )
