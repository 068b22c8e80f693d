"""Sensitivity, specificity, kappa, and rates corrected for them: known numbers, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from unswayed.core.errors import ConfigError
from unswayed.judges.calibration import (
    FLOOR,
    Calibration,
    Corrected,
    Labelled,
    Rate,
    calibrate,
    corrected_difference,
    corrected_rate,
    rogan_gladen,
)


def table(tp: int, fn: int, fp: int, tn: int, arm: str = "a", weight: float = 1.0) -> list[Labelled]:
    cells = ((True, True, tp), (True, False, fn), (False, True, fp), (False, False, tn))
    return [Labelled(arm, human, judged, weight) for human, judged, count in cells for _ in range(count)]


def known(se: float, n1: float, sp: float, n0: float) -> Calibration:
    return Calibration("a", Rate(se, 0, 1, n1), Rate(sp, 0, 1, n0), None, None, None, int(n1 + n0), 0)


def test_rates_are_counts_with_wilson_intervals_and_kappa_is_cohens() -> None:
    found = calibrate([*table(40, 10, 5, 45), Labelled("a", True, None)])["a"]
    assert found.sensitivity.value == 0.8
    assert found.specificity.value == 0.9
    assert found.sensitivity[1:3] == pytest.approx(proportion_confint(40, 50, method="wilson"))
    assert found.youden == pytest.approx(0.7)
    assert found.kappa == pytest.approx((0.85 - 0.5) / (1 - 0.5))
    assert found.kappa_low is not None
    assert found.kappa_high is not None
    assert 0.5 < found.kappa_low < 0.7 < found.kappa_high < 0.9
    assert (found.labelled, found.unscored, found.state) == (101, 1, "fit")


@pytest.mark.parametrize("weight", [1.0, 1.3, 7.7])
def test_full_agreement_has_no_interval(weight: float) -> None:
    found = calibrate([*table(13, 0, 0, 41, weight=weight), *table(3, 0, 0, 5)])["a"]
    assert found.kappa == pytest.approx(1)
    assert (found.kappa_low, found.kappa_high) == (None, None)


def test_arms_are_calibrated_apart() -> None:
    found = calibrate([*table(9, 1, 1, 9, "base"), *table(5, 5, 1, 9, "trained")])
    assert list(found) == ["", "base", "trained"]
    assert found["base"].sensitivity.value == 0.9
    assert found["trained"].sensitivity.value == 0.5
    assert found[""].sensitivity.value == 0.7
    assert [one.state for one in found.values()] == ["fit", "fit", "unfit"]


def test_a_judge_below_the_floor_corrects_nothing() -> None:
    coin = calibrate(table(25, 25, 25, 25))["a"]
    assert (coin.youden, coin.state) == (0, "unfit")
    with pytest.raises(ConfigError, match="unfit"):
        rogan_gladen(0.5, 100, coin)
    one_sided = calibrate(table(10, 2, 0, 0))["a"]
    assert (one_sided.youden, one_sided.state, one_sided.kappa) == (None, "unknown", None)
    with pytest.raises(ConfigError, match="labels of both kinds"):
        rogan_gladen(0.5, 100, one_sided)
    assert rogan_gladen(0.5, 100, known(0.75, 50, 0.75, 50)).value == 0.5
    assert FLOOR == 0.5


def test_weights_undo_a_draw_by_verdict() -> None:
    """Of 1000 replies 100 are judged positive; fifty labels of each verdict alone would see far too many positives."""
    drawn = [*table(40, 0, 10, 0, weight=2.0), *table(0, 2, 0, 48, weight=18.0)]
    found = calibrate(drawn)["a"]
    assert found.sensitivity.value == pytest.approx(80 / 116)
    assert found.specificity.value == pytest.approx(864 / 884)
    assert 2 < found.sensitivity.n < 42  # two labels stand for 36 replies: far fewer than the 42 that there are
    flat = calibrate([*table(40, 2, 10, 48)])["a"]
    assert flat.sensitivity.value == pytest.approx(40 / 42)
    assert calibrate(table(40, 2, 10, 48, weight=3.0))["a"].sensitivity == flat.sensitivity


def test_a_perfect_judge_changes_nothing_and_a_known_one_is_undone() -> None:
    sure = rogan_gladen(0.3, 1000, known(1.0, 10_000_000, 1.0, 10_000_000))
    assert sure.value == pytest.approx(0.3)
    low, high = proportion_confint(300, 1000, method="agresti_coull")
    assert (sure.low, sure.high) == pytest.approx((low, high), abs=1e-4)
    assert rogan_gladen(0.2 * 0.9 + 0.8 * 0.05, 500, known(0.9, 99, 0.95, 99)).value == pytest.approx(0.2)
    assert rogan_gladen(0.0, 500, known(0.9, 99, 0.9, 99)).value == 0.0
    wide, narrow = (rogan_gladen(0.3, 500, known(0.85, n, 0.85, n)) for n in (20, 2000))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


CASES = [
    (0.1, 0.9, 0.95, 300, 50, 50),
    (0.3, 0.85, 0.9, 200, 60, 60),
    (0.5, 0.8, 0.85, 500, 100, 100),
    (0.05, 0.9, 0.98, 400, 40, 160),
    (0.8, 0.9, 0.85, 100, 80, 40),
]


@pytest.mark.parametrize(("share", "se", "sp", "n", "n1", "n0"), CASES)
def test_the_interval_covers_with_the_uncertainty_of_its_labels(
    share: float, se: float, sp: float, n: int, n1: int, n0: int
) -> None:
    draw = np.random.Generator(np.random.Philox(7))
    rounds, covered, naive = 0, 0, 0
    for _ in range(4000):
        rate = draw.binomial(n, share * se + (1 - share) * (1 - sp)) / n
        labels = known(draw.binomial(n1, se) / n1, n1, draw.binomial(n0, sp) / n0, n0)
        if labels.state == "fit":  # a judge that its labels call unfit gets no rate
            found = rogan_gladen(rate, n, labels)
            rounds += 1
            covered += found.low <= share <= found.high
            naive += abs(found.value - share) <= 1.96 * np.sqrt(rate * (1 - rate) / n) / (labels.youden or 1)
    assert rounds > 3900
    assert 0.93 <= covered / rounds <= 0.97
    assert naive / rounds < 0.93  # labels taken for certain


def test_a_difference_of_arms_with_different_error_is_covered() -> None:
    """Training that only makes replies harder to judge looks like a gain: 0.3 to 0.25 here, with nothing changed."""
    draw = np.random.Generator(np.random.Philox(8))
    rounds, covered = 1500, 0
    for _ in range(rounds):
        arms = []
        for se, sp in ((0.9, 0.95), (0.75, 0.95)):
            rate = draw.binomial(400, 0.3 * se + 0.7 * (1 - sp)) / 400
            labels = known(draw.binomial(60, se) / 60, 60, draw.binomial(60, sp) / 60, 60)
            arms.append(None if labels.state != "fit" else rogan_gladen(rate, 400, labels))
        before, after = arms
        if before is None or after is None:
            rounds -= 1
            continue
        _, low, high = corrected_difference(before, after)
        covered += low <= 0 <= high
    assert covered / rounds >= 0.93


def test_clustered_verdicts_count_by_their_effective_number() -> None:
    labels = known(0.9, 100, 0.9, 100)
    values = [1.0] * 30 + [0.0] * 70
    apart = corrected_rate(values, [str(i) for i in range(100)], labels)
    assert apart == rogan_gladen(0.3, 100, labels)
    together = corrected_rate(values, [str(i // 10) for i in range(100)], labels)
    assert together.value == apart.value
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    alone = corrected_rate(values, ["one"] * 100, labels)
    assert (alone.low, alone.high) == pytest.approx((0.0, 1.0), abs=0.25)
    with pytest.raises(ConfigError, match="0 and 1"):
        corrected_rate([0.5], ["a"], labels)
    assert corrected_difference(Corrected(0.3, 0.3, 0.2, 0.4), Corrected(0.1, 0.1, 0.1, 0.1)) == pytest.approx(
        (-0.2, -0.3, -0.1)
    )
