"""Several trained models of one method: the training seed is the unit that a claim about the method rests on.

One checkpoint can be measured as exactly as one likes and still says nothing about the next seed. Here every seed
answers the same questions, so seeds and questions are crossed, and the variance of the mean difference has a part from
either: two-way analysis of variance with random effects, by cluster totals. The interval gives each part the quantile
of its own degrees of freedom, half² = t²(S − 1)·A + t²(C − 1)·B; in simulation it covers 95 to 99%, for 2 to 10 seeds,
whichever part is larger. Three seeds that agree say something, three that do not say little, two next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from unswayed.stats.clusters import ALPHA, FEWEST, Floats, freedom, totals
from unswayed.stats.paired import Interval, paired
from unswayed.stats.power import POWER


@dataclass(frozen=True, slots=True)
class Seeds:
    """A difference averaged over seeds and samples.

    Attributes:
        mean: over everything. `by_seed`: over the samples of each seed.
        clusters: groups that the samples come from. `freedom`: degrees of freedom that they leave.
        seed_variance: of the mean over seeds. `cluster_variance`: what the questions add to it.
    """

    mean: float
    by_seed: tuple[float, ...]
    clusters: int
    freedom: float
    seed_variance: float
    cluster_variance: float

    def _quantile(self, share: float) -> float:
        """How far the mean lies off, at most, with probability `share`."""
        seeds = float(stats.t.ppf(share, len(self.by_seed) - 1))
        clusters = float(stats.t.ppf(share, self.freedom))
        return math.sqrt(seeds**2 * self.seed_variance + clusters**2 * self.cluster_variance)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Return the interval of the mean."""
        half = self._quantile(1 - alpha / 2)
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """Two-sided, of "the method changes nothing on average": the level at which the interval just holds zero."""
        if self._quantile(0.75) == 0 or self._quantile(0.5 + 1e-9) >= abs(self.mean):
            return 1.0
        if self._quantile(1 - 1e-15) <= abs(self.mean):
            return 2e-15

        def excess(log_alpha: float) -> float:
            return self._quantile(1 - math.exp(log_alpha) / 2) - abs(self.mean)

        return math.exp(float(optimize.brentq(excess, math.log(2e-15), math.log(1 - 1e-9), xtol=1e-10)))

    @property
    def effective(self) -> float:
        """As many equal clusters."""
        return self.freedom + 1

    @property
    def few(self) -> bool:
        """Whether there are too few effective clusters to conclude anything."""
        return self.effective < FEWEST - 1e-9

    def detectable(self, alpha: float = ALPHA) -> float:
        """Return the smallest true difference that as many seeds of this spread find with 80% power."""
        return self._quantile(1 - alpha / 2) + self._quantile(POWER)

    @property
    def provable(self) -> float:
        """Smallest margin that as many seeds of this spread prove with 80% power if nothing changed."""
        return self._quantile(1 - ALPHA) + self._quantile(POWER)

    @property
    def method(self) -> str:
        """How the interval is computed."""
        return f"crossed random effects, {len(self.by_seed)} seeds"


def seeded(differences: Floats, groups: Sequence[str]) -> Seeds | None:
    """Return what the differences of several seeds come to; None with a single cluster.

    Args:
        differences: [seeds, samples], after minus before; every seed has the same samples in the same order.
        groups: the cluster of each sample.

    Raises:
        ValueError: fewer than two seeds.
    """
    if len(differences) < 2:
        raise ValueError("one seed says nothing about others; use `unswayed.stats.paired.paired`")
    mean = float(differences.mean())
    sizes = totals(differences[0], groups)[1]
    cells = np.stack([totals(row - mean, groups)[0] for row in differences])  # [seeds, clusters], sums to zero
    seeds, clusters = cells.shape
    if clusters < 2:
        return None
    size = differences.size
    by_seed = seeds / (seeds - 1) * (cells.sum(1) ** 2).sum() / size**2
    by_cluster = clusters / (clusters - 1) * (cells.sum(0) ** 2).sum() / size**2
    rest = cells - cells.mean(0) - cells.mean(1, keepdims=True)
    both = seeds * clusters / ((seeds - 1) * (clusters - 1)) * (rest**2).sum() / size**2
    # Never less than what the questions alone would leave: equal answers of a few seeds are no certainty.
    low, high = paired(differences.mean(0), groups).interval() or (mean, mean)
    alone = (max(mean - low, high - mean) / float(stats.t.ppf(1 - ALPHA / 2, freedom(sizes)))) ** 2
    return Seeds(
        mean=mean,
        by_seed=tuple(float(value) for value in differences.mean(1)),
        clusters=clusters,
        freedom=freedom(sizes),
        seed_variance=float(by_seed),
        cluster_variance=max(float(by_cluster - both), alone - float(by_seed), 0.0),
    )


def seeded_difference(differences: Floats, groups: Sequence[str]) -> Interval:
    """Return the mean difference over seeds with its 95% interval: what may be said of the method."""
    found = seeded(differences, groups)
    if found is None:
        return Interval(float(differences.mean()), None, None, "one cluster: no interval")
    return Interval(found.mean, *found.interval(), found.method)
