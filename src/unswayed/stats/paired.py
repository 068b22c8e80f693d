"""Paired differences: Tango's score interval, clustered or graded at the effective size, and the p-value of it.

* `tango`: the score interval of a paired difference of proportions, zero discordant pairs included
  (Tango 1998, Statistics in Medicine 17:891). At zero its statistic is McNemar's, whose level is at most 5.4%
  (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
* Clustered and graded differences go the same way: how many zero-one pairs would leave the same variance? A rise of
  0.25 counts as a quarter of a flip. Where hardly any value differs from the rest, t intervals cover as little as a
  quarter of the time, and these still 93%.

Interval and p-value never disagree: p is the level at which the interval just touches zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from unswayed.stats.clusters import ALPHA, FEWEST, Floats, clusters, shrink


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


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the differences of a paired comparison come to; intervals, power and margins are computed from it.

    Attributes:
        n: pairs. `clusters`: groups they come from. `effective`: as many equal ones.
        mean: the mean difference.
        rise, fall: means of its positive and negative parts; the shares of flips where all outcomes are 0 or 1.
        size: independent zero-one pairs that would leave the same variance; 0 with a single cluster.
        freedom: degrees of freedom of that variance; infinite where every cluster holds one pair of zeros and ones.
        error: the standard error that goes with them.
        binary: every difference is −1, 0 or 1.
        scale: the largest difference that may be, 1 or 2; `rise` and `fall` are in units of it.
    """

    n: int
    clusters: int
    effective: float
    mean: float
    rise: float
    fall: float
    size: float
    freedom: float
    error: float
    binary: bool
    scale: float = 1.0

    @property
    def discordance(self) -> float:
        """Share of pairs that flip (graded: mean absolute difference, in units of the largest)."""
        return self.rise + self.fall

    @property
    def few(self) -> bool:
        """Whether there are too few effective clusters to conclude anything."""
        return self.effective < FEWEST - 1e-9

    def interval(self, alpha: float = ALPHA) -> tuple[float, float] | None:
        """Return the score interval of the mean difference; None with a single cluster."""
        if self.clusters < 2:
            return None
        size = self.size * shrink(self.freedom, alpha)
        low, high = _limits(self.rise * size, self.fall * size, size, alpha)
        return self.scale * low, self.scale * high

    @property
    def p_value(self) -> float | None:
        """Two-sided: the level at which the interval just touches zero; None with a single cluster."""
        if self.clusters < 2:
            return None
        statistic = abs(float(tango_statistic(self.rise * self.size, self.fall * self.size, self.size, 0.0)))
        return float(min(1.0, 2 * (stats.norm if math.isinf(self.freedom) else stats.t(self.freedom)).sf(statistic)))

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
    found = clusters(data / scale, groups)
    n, mean, rise = len(data), found.mean, float(np.maximum(data, 0).mean() / scale)
    fall = rise - mean
    if found.count < 2:
        return Pairs(n, found.count, found.effective, mean * scale, rise, fall, 0.0, 0.0, 0.0, binary, scale)
    spread = max(rise + fall - mean**2, 0.0)
    single = binary and found.count == n
    size = float(n) if single else found.size(spread / n, capped=binary)
    freedom = math.inf if single else found.degrees
    error = scale * math.sqrt(spread / size)
    return Pairs(n, found.count, found.effective, mean * scale, rise, fall, size, freedom, error, binary, scale)


def paired_difference(differences: Sequence[float] | Floats, groups: Sequence[str], alpha: float = ALPHA) -> Interval:
    """Return the mean of paired differences with its score interval.

    Args:
        differences: after minus before, one for each pair, not empty.
        groups: the cluster of each pair.
        alpha: one minus the confidence.
    """
    pairs = paired(differences, groups)
    low, high = pairs.interval(alpha) or (None, None)
    return Interval(pairs.mean, low, high, pairs.method)
