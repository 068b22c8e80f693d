"""Our intervals against Inspect's, which were written apart from them, wherever both compute the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("inspect_ai")

from inspect_ai.scorer import SampleScore, Score, ci_wilson, mean, stderr
from statsmodels.stats.proportion import proportion_confint

from unswayed.stats.clusters import jackknife_variance, totals
from unswayed.stats.intervals import proportion

EXACT = 1e-8


def theirs(values: Sequence[float], groups: Sequence[str]) -> list[SampleScore]:
    return [
        SampleScore(score=Score(value=value), sample_id=place, sample_metadata={"group": group})
        for place, (value, group) in enumerate(zip(values, groups, strict=True))
    ]


def drawn(seed: int, clusters: int, size: int, spread: float) -> tuple[list[float], list[str]]:
    """Zeros and ones of clusters of equal size with rates of their own; with unequal ones ours are wider on purpose."""
    rng = np.random.default_rng(seed)
    values, groups = [], []
    for cluster in range(clusters):
        rate = rng.beta(0.6 / spread, 0.4 / spread)
        for _ in range(size):
            values.append(float(rng.random() < rate))
            groups.append(f"g{cluster}")
    return values, groups


@pytest.mark.parametrize(("ones", "n"), [(0, 5), (5, 5), (1, 3), (7, 20), (499, 500), (250, 2000)])
def test_one_sample_a_cluster_gives_the_same_wilson_interval(ones: int, n: int) -> None:
    values = [1.0] * ones + [0.0] * (n - ones)
    ours = proportion(values, [str(place) for place in range(n)])
    found = ci_wilson()(theirs(values, ["one"] * n))
    assert (ours.low, ours.high) == pytest.approx((found["lower"], found["upper"]), abs=EXACT)
    assert ours.value == pytest.approx(mean()(theirs(values, ["one"] * n)), abs=EXACT)


@pytest.mark.parametrize("seed", range(6))
def test_the_clustered_variance_is_the_same(seed: int) -> None:
    values, groups = drawn(seed, clusters=5 + 7 * seed, size=6, spread=0.3)
    ours = jackknife_variance(*totals(np.array(values), groups))
    assert ours == pytest.approx(stderr(cluster="group")(theirs(values, groups)) ** 2, abs=EXACT)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spread", [0.05, 0.4, 2.0])
def test_the_clustered_interval_is_the_same(seed: int, spread: float) -> None:
    """Wilson's at the effective size, capped at n, with t on C − 1 degrees of freedom in place of z."""
    values, groups = drawn(seed, clusters=20 + 5 * seed, size=8, spread=spread)
    assert 0 < sum(values) < len(values)
    found = ci_wilson(cluster="group")(theirs(values, groups))
    ours = proportion(values, groups)
    assert (ours.low, ours.high) == pytest.approx((found["lower"], found["upper"]), abs=EXACT)


def test_alternating_clusters_reach_the_cap_in_both() -> None:
    values, groups = [1.0, 0.0] * 12, [f"g{place // 2}" for place in range(24)]
    values[:2] = [1.0, 1.0]
    assert jackknife_variance(*totals(np.array(values), groups)) < np.var(values) / len(values)
    found = ci_wilson(cluster="group")(theirs(values, groups))
    ours = proportion(values, groups)
    assert (ours.low, ours.high) == pytest.approx((found["lower"], found["upper"]), abs=EXACT)


def test_where_clusters_agree_within_themselves_we_are_the_more_careful() -> None:
    """All right: no variance can be seen. Inspect then counts samples, we count clusters."""
    values, groups = [1.0] * 40, [f"g{place // 10}" for place in range(40)]
    found = ci_wilson(cluster="group")(theirs(values, groups))
    ours = proportion(values, groups)
    assert ours.low is not None
    assert ours.low < proportion_confint(4, 4, method="wilson")[0] < found["lower"]
