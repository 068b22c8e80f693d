"""Variance of a mean over clusters of any size, and how many independent samples leave the same.

A cluster is a group of samples that are not independent of each other: the phrasings of one question, the draws of one
prompt. Clusters of different sizes make the usual cluster-robust variance too small, by a factor of ten where one has
two thirds of the samples. Here every cluster is left out in turn (the jackknife, CR3 of Bell and McCaffrey 2002, Survey
Methodology 28:169), and the degrees of freedom are Satterthwaite's: C − 1 for C equal clusters, near one
where a single cluster decides. `scripts/coverage.py` prints what the intervals built on this cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

ALPHA = 0.05
FEWEST = 10
"""With fewer effective clusters than this no conclusion is drawn."""
MOVED = 8.0
"""Where fewer effective clusters than this (or than half of them) differ at all, each counts as one sample at most."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """What a mean over clusters is known to.

    Attributes:
        n: samples. `count`: clusters.
        mean: over samples.
        variance: of the mean, by leaving out each cluster in turn.
        freedom: Satterthwaite's degrees of freedom of that variance.
        moved: effective number of clusters that differ from the most common value.
    """

    n: int
    count: int
    mean: float
    variance: float
    freedom: float
    moved: float

    @property
    def effective(self) -> float:
        """Equal clusters that would leave as many degrees of freedom."""
        return self.freedom + 1

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a difference whose variance rests on the clusters that differ: no more than they leave.

        Where `size` counts each cluster once, it allows for that already.
        """
        return self.freedom if self._barely_moved else min(self.freedom, self.moved - 1)

    @property
    def _barely_moved(self) -> bool:
        return self.moved < min(MOVED, self.effective / 2)

    def size(self, independent: float, *, capped: bool) -> float:
        """Return how many independent samples carry this information (Korn and Graubard 1998).

        Args:
            independent: variance of the mean if all samples were independent zeros and ones.
            capped: no more than there are samples. Graded values may say more than as many zeros and ones.
        """
        if independent <= 0 or self.variance <= 0:
            return self.effective  # equal answers are what clusters would give: each counts once
        size = self.n * independent / self.variance
        size = min(size, float(self.n)) if capped else size
        return min(size, self.effective) if self._barely_moved else size


def totals(values: Floats, groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the sum and the number of the values in each cluster."""
    _, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def clusters(values: Floats, groups: Sequence[str], common: float = 0.0) -> Clusters:
    """Return what the mean of clustered values is known to.

    Args:
        values: one a sample, not empty.
        groups: the cluster of each.
        common: the value from which clusters may differ, see `Clusters.moved`.
    """
    sums, sizes = totals(values, groups)
    n, count, mean = len(values), len(sums), float(sums.sum() / len(values))
    if count < 2:
        return Clusters(n, count, mean, 0.0, 0.0, 0.0)
    moved = np.abs(sums - common * sizes)
    effective = float(moved.sum() ** 2 / (moved**2).sum()) if moved.any() else 0.0
    return Clusters(n, count, mean, jackknife_variance(sums, sizes), freedom(sizes), effective)


def jackknife_variance(sums: Floats, sizes: Floats) -> float:
    """Return the variance of a mean by leaving out each cluster; with equal clusters it is the usual robust one."""
    count, n = len(sums), sizes.sum()
    residuals = (sums - sizes * (sums.sum() / n)) / (1 - sizes / n)
    return float((count - 1) / count * (residuals**2).sum() / n**2)


def freedom(sizes: Floats) -> float:
    """Return Satterthwaite's degrees of freedom of `jackknife_variance` for samples of equal variance.

    The variance is a quadratic form in the cluster sums; with K its matrix times their covariance the degrees of
    freedom are tr(K)² / tr(K²), written out here for K = a diagonal matrix plus one of rank two.
    """
    share = sizes / sizes.sum()
    scale = 1 / (1 - share)
    diagonal, x, y, total = scale**2 * sizes, scale * sizes, scale * share, sizes.sum()
    inner = np.array([[x @ x, x @ y], [x @ y, y @ y]]) @ np.array([[0.0, -1.0], [-1.0, total]])
    trace = diagonal.sum() - 2 * x @ y + total * y @ y
    squared = (diagonal**2).sum() + 2 * (diagonal * (total * y**2 - 2 * x * y)).sum() + np.trace(inner @ inner)
    return float(trace**2 / squared)


def quantile(share: float, freedom: float) -> float:
    """Return the quantile of t, or of the normal distribution where the degrees of freedom are infinite."""
    return float(stats.norm.ppf(share) if math.isinf(freedom) else stats.t.ppf(share, freedom))


def shrink(freedom: float, alpha: float = ALPHA) -> float:
    """Return (z / t)²: the factor on a sample size that turns the z of a score interval into t."""
    return (quantile(1 - alpha / 2, math.inf) / quantile(1 - alpha / 2, freedom)) ** 2 if freedom else 0.0
