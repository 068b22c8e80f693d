"""Cluster bootstrap with bias-corrected and accelerated limits (BCa), for any function of weighted means.

Clusters are drawn with replacement inside each stratum: samples of a fixed size, such as training prompts, evaluation
prompts, and those that are both. A statistic is a function of weights, how often each cluster was drawn. BCa (Efron
1987, JASA 82:171) moves the percentiles by the share of replicates below the estimate (z₀) and by the skewness of what
leaving out each cluster does (a = Σd³ / 6(Σd²)^{3/2}, d centred in each stratum; Davison and Hinkley 1997, 5.4).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unswayed.core.seeding import rng
from unswayed.stats.clusters import ALPHA, Floats

Statistic = Callable[[Floats], Floats]
"""Weights [replicates, clusters] to values [replicates, terms]; NaN where a replicate has no value."""
REPLICATES = 5000
_CELLS = 4_000_000
_ENOUGH = 0.95
"""Share of the replicates that must have a value."""


def resampled(statistic: Statistic, strata: NDArray[np.int64], seed: int, replicates: int = REPLICATES) -> Floats:
    """Return the statistic of `replicates` resamples, [replicates, terms].

    Args:
        statistic: see `Statistic`.
        strata: the stratum of each cluster.
        seed: decides every draw.
        replicates: how many.
    """
    generator = rng(seed, "bootstrap")
    rows = max(1, _CELLS // len(strata))
    return np.concatenate(
        [statistic(_weights(generator, strata, min(rows, replicates - start))) for start in range(0, replicates, rows)]
    )


def left_out(statistic: Statistic, clusters: int) -> Floats:
    """Return the statistic without each cluster in turn, [clusters, terms]."""
    rows = max(1, _CELLS // clusters)
    parts = []
    for start in range(0, clusters, rows):
        weights = np.ones((min(rows, clusters - start), clusters))
        weights[np.arange(len(weights)), start + np.arange(len(weights))] = 0
        parts.append(statistic(weights))
    return np.concatenate(parts)


def bca(
    estimate: float, replicates: Floats, without: Floats, strata: NDArray[np.int64], alpha: float = ALPHA
) -> tuple[float, float] | None:
    """Return the BCa limits of one term, or None where too many replicates have no value.

    Args:
        estimate: of the whole sample.
        replicates: of the resamples.
        without: with each cluster left out.
        strata: the stratum of each cluster.
        alpha: one minus the confidence.
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < _ENOUGH * len(replicates) or not np.isfinite(estimate):
        return None
    tolerance = 1e-12 * max(1.0, abs(estimate))
    below = (known < estimate - tolerance).sum() + 0.5 * (np.abs(known - estimate) <= tolerance).sum()
    bias = stats.norm.ppf(np.clip(below / len(known), 0.5 / len(known), 1 - 0.5 / len(known)))
    speed = _acceleration(without, strata)
    z = bias + stats.norm.ppf([alpha / 2, 1 - alpha / 2])
    shares = stats.norm.cdf(bias + z / np.maximum(1 - speed * z, 1e-6))
    low, high = np.quantile(known, shares)
    return min(float(low), estimate), max(float(high), estimate)


def _acceleration(without: Floats, strata: NDArray[np.int64]) -> float:
    shift = np.zeros_like(without)
    for stratum in np.unique(strata):
        inside = (strata == stratum) & np.isfinite(without)
        if inside.any():
            shift[inside] = without[inside].mean() - without[inside]
    spread = float((shift**2).sum())
    return float((shift**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def _weights(generator: np.random.Generator, strata: NDArray[np.int64], replicates: int) -> Floats:
    weights = np.zeros((replicates, len(strata)))
    for stratum in np.unique(strata):
        (members,) = np.nonzero(strata == stratum)
        size = len(members)
        weights[:, members] = generator.multinomial(size, np.full(size, 1 / size), replicates)
    return weights
