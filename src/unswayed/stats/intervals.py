"""Intervals and tests for rates and paired differences, clustered where samples share an item.

scipy and statsmodels do what they have (Wilson, binomial test, permutations, Holm, t power). Written here is what they
lack:

* `tango`: the score interval of a paired difference of proportions, zero discordant pairs included
  (Tango 1998, Statistics in Medicine 17:891).
* effective sample sizes: the Korn-Graubard idea (1998, Survey Methodology 24:193) applied to Wilson's interval for one
  clustered rate, and to Tango's interval for a clustered paired difference. In simulation the latter covers 95% or more
  where the cluster-robust t falls to 80% (few clusters, few flips); `tests/evals/test_stats.py` repeats that.
* `sign_flip_p`: the exact test that swaps before and after within whole clusters; with one pair a cluster it is the
  exact McNemar test.

Graded values (a judge's score from 0 to 1, the value of a whole group, a difference of differences) go the same way:
how many zero-one samples would leave the same variance? A rise of 0.25 counts as a quarter of a flip. Where hardly any
value differs from the rest, t intervals cover as little as a quarter of the time, and these still 94%.

Rates are fractions of 1. A cluster is a group of samples that are not
independent of each other: the phrasings of one question, the draws of one prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from unswayed.core.seeding import rng
from unswayed.core.types import Estimate

ALPHA = 0.05
POWER = 0.80
FEW = 10
"""Where fewer clusters than this differ at all, the variance between clusters is not believed to be all there is."""
DRAWS = 9_999

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A point, its 95% limits (None where there is no interval), and how they were computed."""

    value: float
    low: float | None
    high: float | None
    method: str


def tango(b: Any, c: Any, n: Any, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """Return the score limits of the paired difference (b − c)/n of proportions.

    The limits are the differences at which the score statistic, with the discordant probability at its constrained
    maximum likelihood, equals ±z. With b = c = 0 they are ±z²/(n + z²). Arguments broadcast and need not be whole
    numbers, so effective counts may be given.

    Args:
        b: pairs that are 1 after and 0 before.
        c: pairs that are 0 after and 1 before.
        n: all pairs.
        alpha: one minus the confidence.
    """
    b, c, n = (np.asarray(x, dtype=np.float64) for x in np.broadcast_arrays(b, c, n))
    z = stats.norm.ppf(1 - alpha / 2)
    estimate = (b - c) / n
    inside, outside = np.stack([estimate, estimate]), np.stack([np.full_like(estimate, -1), np.ones_like(estimate)])
    for _ in range(45):  # the statistic falls monotonically in the difference, so halving always converges
        middle = (inside + outside) / 2
        accepted = np.abs(tango_statistic(b, c, n, middle)) <= z
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    low, high = (inside + outside) / 2
    return low, high


@lru_cache(maxsize=65536)
def _limits(b: float, c: float, n: float, alpha: float) -> tuple[float, float]:
    low, high = tango(b, c, n, alpha)
    return float(low), float(high)


def tango_statistic(b: Any, c: Any, n: Any, difference: Any) -> Floats:
    """Return the score statistic of the hypothesis that the true paired difference is `difference` (−1 < it < 1)."""
    linear = 2 * n * difference - (b + c) - (b - c) * difference
    constant = -c * difference * (1 - difference)
    # constrained maximum likelihood of P(0 after, 1 before): the larger root of 2n q² + linear q + constant
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
    variance = n * np.maximum(2 * q + difference * (1 - difference), 0)
    shift = b - c - n * difference
    certain = variance == 0  # the hypothesis allows one outcome only; any other refutes it
    statistic: Floats = np.where(certain, np.copysign(np.inf, shift), shift / np.sqrt(np.where(certain, 1, variance)))
    return np.where(shift == 0, 0.0, statistic)


def effective_size(n: Any, clusters: Any, independent_variance: Any, clustered_variance: Any) -> Floats:
    """Return how many independent samples carry the information of `n` clustered ones (Korn and Graubard 1998).

    The ratio of the two variances of the same estimate, at most 1, times a correction for the few degrees of freedom
    that a clustered variance has: z for t on C − 1 of them, which turns Wilson's z into that t. Where either variance
    is zero the design effect cannot be seen, and clusters count as one sample each: the careful choice, since equal
    answers are what clusters would give.
    """
    n, clusters, independent, clustered = (
        np.asarray(x, dtype=np.float64)
        for x in np.broadcast_arrays(n, clusters, independent_variance, clustered_variance)
    )
    visible = (independent > 0) & (clustered > 0)
    ratio = independent / np.where(visible, clustered, 1)
    size: Floats = np.where(visible, np.minimum(n * ratio, n) * _freedom(clusters), clusters)
    return size


def graded_size(n: Any, clusters: Any, binary_variance: Any, clustered_variance: Any, moved: Any) -> Floats:
    """Return how many zero-one samples would leave the variance that `n` graded values do.

    Unlike `effective_size` it may exceed `n`: values of 0.4 and 0.6 say more than as many zeros and ones. Where fewer
    than `FEW` clusters differ at all, their variance says nothing of what was not seen, and it is at most `clusters`.

    Args:
        binary_variance: of the mean of `n` independent zero-one values (or flips) with this mean.
        clustered_variance: of the mean, cluster-robust.
        moved: clusters whose value differs from the common one.
    """
    n, clusters, binary, clustered, moved = (
        np.asarray(x, dtype=np.float64)
        for x in np.broadcast_arrays(n, clusters, binary_variance, clustered_variance, moved)
    )
    visible = (binary > 0) & (clustered > 0)
    size = np.where(visible, n * binary / np.where(visible, clustered, 1) * _freedom(clusters), clusters)
    bounded: Floats = np.where(moved < FEW, np.minimum(size, clusters), size)
    return bounded


def _freedom(clusters: Any) -> Floats:
    factor: Floats = (stats.norm.ppf(1 - ALPHA / 2) / stats.t.ppf(1 - ALPHA / 2, clusters - 1)) ** 2
    return factor


def totals(values: Floats, groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the sum and the number of the values in each cluster."""
    _, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def cluster_variance(sums: Floats, sizes: Floats) -> float:
    """Return the cluster-robust variance of a mean, with the C/(C − 1) correction (CR1)."""
    count = len(sums)
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    return float(count / (count - 1) * (residuals**2).sum() / sizes.sum() ** 2)


def proportion(values: Sequence[float], groups: Sequence[str]) -> Interval:
    """Return a rate or a mean of scores with its Wilson interval, at the effective size where one is needed.

    Args:
        values: numbers from 0 to 1, not empty.
        groups: the cluster of each value.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.min() < 0 or data.max() > 1:
        raise ValueError(f"values lie between {data.min()} and {data.max()}; a rate is made of numbers from 0 to 1")
    sums, sizes = totals(data, groups)
    n, clusters, mean = len(data), len(sums), float(data.mean())
    binary = bool(np.isin(data, (0, 1)).all())
    if clusters == n and binary:
        return Interval(mean, *_wilson(mean, n), "wilson")
    if clusters < 2:
        return Interval(mean, None, None, "one cluster: no interval")
    independent, clustered = mean * (1 - mean) / n, cluster_variance(sums, sizes)
    if binary:
        size = float(effective_size(n, clusters, independent, clustered))
        return Interval(mean, *_wilson(mean, size), "wilson, clustered (Korn-Graubard)")
    common = min(int((sums != 0).sum()), int((sums != sizes).sum()))
    size = float(graded_size(n, clusters, independent, clustered, common))
    return Interval(mean, *_wilson(mean, size), "wilson, graded (effective size)")


def _wilson(rate: float, n: float) -> tuple[float, float]:
    low, high = proportion_confint(rate * n, n, ALPHA, method="wilson")
    return min(float(low), rate), max(float(high), rate)  # at 0 and 1 rounding may leave the estimate outside


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the differences of a paired comparison come to; intervals, power and margins are computed from it.

    Attributes:
        n: pairs. `clusters`: groups they come from.
        mean: the mean difference.
        rise, fall: means of its positive and negative parts; the shares of flips where all outcomes are 0 or 1.
        size: independent zero-one pairs that would leave the same variance; 0 with a single cluster.
        error: the standard error that goes with `size` and the t distribution on `clusters` − 1 degrees of freedom.
        binary: every difference is −1, 0 or 1.
        scale: the largest difference that may be, 1 or 2; `rise` and `fall` are in units of it.
    """

    n: int
    clusters: int
    mean: float
    rise: float
    fall: float
    size: float
    error: float
    binary: bool
    scale: float = 1.0

    @property
    def discordance(self) -> float:
        """Share of pairs that flip (graded: mean absolute difference, in units of the largest)."""
        return self.rise + self.fall

    def interval(self, alpha: float = ALPHA) -> tuple[float, float] | None:
        """Return the score interval of the mean difference; None with a single cluster."""
        if self.clusters < 2:
            return None
        low, high = _limits(self.rise * self.size, self.fall * self.size, self.size, alpha)
        return self.scale * low, self.scale * high

    @property
    def method(self) -> str:
        """How the interval is computed."""
        if self.clusters < 2:
            return "one cluster: no interval"
        if not self.binary:
            return "tango score, graded (effective size)"
        return "tango score" if self.clusters == self.n else "tango score, clustered (effective size)"


def paired(differences: Sequence[float] | Floats, groups: Sequence[str]) -> Pairs:
    """Return what paired differences come to.

    Args:
        differences: after minus before, one for each pair, from −1 to 1 (−2 to 2 between differences), not empty.
        groups: the cluster of each pair.
    """
    data = np.asarray(differences, dtype=np.float64)
    largest = float(np.abs(data).max())
    if largest > 2:
        raise ValueError(f"a difference of {largest}; differences of rates lie between -1 and 1, or twice that")
    binary = bool(np.isin(data, (-1, 0, 1)).all())
    scale = 1.0 if largest <= 1 else 2.0
    sums, sizes = totals(data / scale, groups)
    n, clusters = len(data), len(sums)
    mean, rise = float(sums.sum() / n), float(np.maximum(data, 0).mean() / scale)
    fall = max(rise - mean, 0.0)
    if clusters < 2:
        return Pairs(n, clusters, mean * scale, rise, fall, 0.0, 0.0, binary, scale)
    spread, clustered = max(rise + fall - mean**2, 0.0), cluster_variance(sums, sizes)
    if not binary:
        size = float(graded_size(n, clusters, spread / n, clustered, int((sums != 0).sum())))
    elif clusters < n:
        size = float(effective_size(n, clusters, spread / n, clustered))
    else:
        size = float(n)
    error = scale * math.sqrt(spread / size * (1.0 if binary and clusters == n else float(_freedom(clusters))))
    return Pairs(n, clusters, mean * scale, rise, fall, size, error, binary, scale)


def paired_difference(differences: Sequence[float] | Floats, groups: Sequence[str], alpha: float = ALPHA) -> Interval:
    """Return the mean of paired differences with its score interval: Tango's, at the effective size where needed.

    Args:
        differences: after minus before, one for each pair, not empty.
        groups: the cluster of each pair.
        alpha: one minus the confidence.
    """
    pairs = paired(differences, groups)
    low, high = pairs.interval(alpha) or (None, None)
    return Interval(pairs.mean, low, high, pairs.method)


def sign_flip_p(differences: Sequence[float] | Floats, groups: Sequence[str]) -> float | None:
    """Return the two-sided exact p-value of "before and after may be swapped in any cluster".

    Every assignment of signs to the cluster totals is equally likely under that hypothesis; their distribution is
    computed by convolution, not by drawing. With one pair a cluster this is the exact McNemar test. Totals that are
    not whole numbers (graded scores) get every assignment up to 13 clusters and `DRAWS` seeded ones beyond, so their
    p-value is never below 1 / (`DRAWS` + 1). None with fewer than two clusters.
    """
    data = np.asarray(differences, dtype=np.float64)
    sums, _ = totals(data, groups)
    if len(sums) < 2:
        return None
    if not np.array_equal(sums, np.rint(sums)):
        drawn = stats.permutation_test(
            (sums,), np.sum, permutation_type="samples", n_resamples=DRAWS, batch=512, rng=rng(0, "sign flips")
        )
        return float(drawn.pvalue)
    moved, counts = np.unique(np.abs(np.rint(sums)).astype(int), return_counts=True)
    law = np.ones(1)  # P(sum of signed totals = index - centre)
    for size, count in zip(moved, counts, strict=True):
        if size:
            part = np.zeros(2 * size * count + 1)
            part[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
            law = np.convolve(law, part)
    distance = np.abs(np.arange(len(law)) - len(law) // 2)
    return float(min(1.0, law[distance >= abs(round(sums.sum()))].sum()))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm-adjusted p-values of one family; entries without a p-value stay None and are not counted."""
    known = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(known, method="holm")[1] if known else ())
    return [None if p is None else float(next(adjusted)) for p in p_values]


def estimate(values: Sequence[float | None], groups: Sequence[str], *, paired: bool = False) -> Estimate:
    """Return the mean of the scored values with interval, n, clusters, the count of the unscored and what they bound.

    Args:
        values: one for each sample; None where it is unscored.
        groups: the cluster of each sample.
        paired: the values are differences of two outcomes of the same sample, from −1 to 1.
    """
    scored = [(value, group) for value, group in zip(values, groups, strict=True) if value is not None]
    unscored = len(values) - len(scored)
    lowest, total = -1.0 if paired else 0.0, math.fsum(value for value, _ in scored)
    least, most = (
        ((total + extreme * unscored) / len(values) for extreme in (lowest, 1.0)) if unscored else (None, None)
    )
    if not scored:
        return Estimate(None, None, None, 0, 0, unscored, "nothing scored", least, most)
    kept = [value for value, _ in scored]
    names = [group for _, group in scored]
    interval = (paired_difference if paired else proportion)(kept, names)
    return Estimate(
        interval.value, interval.low, interval.high, len(scored), len(set(names)), unscored, interval.method,
        least, most,
    )  # fmt: skip
