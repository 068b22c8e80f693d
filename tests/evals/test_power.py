"""Power: what a design finds and what it can prove, by simulation and against statsmodels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from unswayed.stats.paired import paired, tango
from unswayed.stats.power import (
    detectable,
    detectable_difference,
    pairs_needed,
    provable,
    provable_margin,
    score_power,
)


def names(count: int, size: int = 1) -> list[str]:
    return [f"g{i // size}" for i in range(count)]


@pytest.mark.parametrize(("n", "flips"), [(56, 0.1), (198, 0.1), (300, 0.05), (100, 0.0)])
def test_detectable_effect_is_found_with_the_stated_power(n: int, flips: float) -> None:
    effect = detectable(n, flips)
    assert effect is not None
    share = max(flips, effect)
    rng = np.random.default_rng(8)
    counts = rng.multinomial(n, [(share + effect) / 2, (share - effect) / 2, 1 - share], size=4000)
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    low, _ = tango(kinds[:, 0], kinds[:, 1], n)
    assert times[low > 0].sum() / 4000 == pytest.approx(0.8, abs=0.025)


def test_where_there_is_no_effect_it_is_seldom_found_on_either_side() -> None:
    for n, flips in itertools.product((10, 20, 57, 100, 400), (0.02, 0.1, 0.2, 0.5, 1.0)):
        assert score_power(n, 1e-12, flips) <= 0.032


def test_detectable_effect_has_the_right_size() -> None:
    assert detectable(9, 0.2) is None  # with fewer than ten nothing is concluded
    known = [(n, detectable(n, 0.1)) for n in (100, 400, 1600)]
    for n, effect in known:
        assert effect == pytest.approx(2.80 * np.sqrt(0.1 / n), rel=0.15)  # the usual approximation
    assert detectable(100, 0.0) == pytest.approx(0.0545, abs=2e-3)  # not zero although nothing flipped


def test_clusters_raise_the_detectable_effect() -> None:
    values = [float(v) for v in np.repeat([1, -1, 0, 0, 0, 0, 0, 0, 0, 0], 10)]
    together, apart = (detectable_difference(paired(values, names(100, size))) for size in (10, 1))
    assert apart is not None
    assert together is None or together > 2 * apart


def test_detectable_difference_of_graded_scores_equals_statsmodels() -> None:
    values = np.random.default_rng(9).uniform(-1, 1, 80)
    effect = detectable_difference(paired(values, names(80)))
    found = sm.stats.TTestPower().solve_power(nobs=80, power=0.8, alpha=0.05) * values.std(ddof=1)
    assert effect == pytest.approx(found, rel=0.03)  # the score statistic is a little more careful than t


def test_one_cluster_finds_and_proves_nothing() -> None:
    pairs = paired([1.0, 0.0], ["a", "a"])
    assert detectable_difference(pairs) is None
    assert provable_margin(pairs) is None


# ---- margins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "flips"), [(56, 0.1), (198, 0.1), (300, 0.05), (100, 0.0), (1319, 0.1)])
def test_a_provable_margin_is_proven_with_the_stated_power(n: int, flips: float) -> None:
    margin = provable(n, flips)
    assert margin is not None
    rng = np.random.default_rng(10)
    counts = rng.multinomial(n, [flips / 2, flips / 2, 1 - flips], size=2000)
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    low, _ = tango(kinds[:, 0], kinds[:, 1], n, 0.1)
    power = times[low > -margin].sum() / 2000
    assert power >= 0.77
    smaller = times[low > -0.8 * margin].sum() / 2000
    assert smaller < power


def test_provable_margins_are_those_of_the_usual_formula_where_flips_are_many() -> None:
    # n = (z + z)^2 psi / delta^2 with one-sided 5% and 80%: a 2-point margin at 10% discordance needs 1,546 pairs
    assert pairs_needed(0.1, 0.02) == pytest.approx(1546, abs=1)
    for n, flips, points in ((1319, 0.2, 3.1), (14042, 0.1, 0.7), (500, 0.3, 6.1), (790, 0.1, 2.8)):
        margin = provable(n, flips)
        assert margin is not None
        assert 100 * margin == pytest.approx(points, abs=0.06)


def test_without_a_flip_the_margin_is_the_bound_of_no_flips() -> None:
    z = stats.norm.ppf(0.95)
    assert provable(100, 0.0) == pytest.approx(z**2 / (100 + z**2), abs=1e-4)
    needed = pairs_needed(0.0, 0.05)
    low, _ = tango(0, 0, needed, 0.1)
    assert float(low) >= -0.05
    assert float(tango(0, 0, needed - 1, 0.1)[0]) < -0.05


def test_margins_of_graded_scores_shrink_with_their_spread() -> None:
    values = np.random.default_rng(11).uniform(-0.2, 0.2, 60)
    wide, narrow = (provable_margin(paired(scale * values, names(60))) for scale in (1.0, 0.5))
    assert wide is not None
    assert narrow == pytest.approx(wide / 2, rel=0.01)
    assert provable_margin(paired([0.0] * 60, names(60))) == provable(60, 0.0)
