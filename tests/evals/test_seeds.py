"""Training seeds as the unit: what several checkpoints say about a method, and what one does not."""

from __future__ import annotations

from dataclasses import replace

import answering
import numpy as np
import pytest
import statsmodels.api as sm
from answering import Scripted, small
from scipy import stats
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from unswayed.core.errors import ConfigError
from unswayed.core.types import Sample
from unswayed.evals.compare.compare import compare
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.stats.seeds import Seeds, seeded, seeded_difference

SUITE = small(60)


@pytest.fixture(autouse=True)
def _no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at every correction, which takes longer than all the rest."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def names(count: int, size: int = 1) -> list[str]:
    return [f"g{i // size}" for i in range(count)]


def crossed(
    rng: np.random.Generator, seeds: int, clusters: int, spread: tuple[float, float, float], runs: int | None = None
) -> np.ndarray:
    """Differences of mean 0.05 with a part by seed, a part by question and the rest."""
    shape = () if runs is None else (runs,)
    by_seed, by_question, rest = spread
    return (
        0.05
        + rng.normal(0, by_seed, (*shape, seeds, 1))
        + rng.normal(0, by_question, (*shape, 1, clusters))
        + rng.normal(0, rest, (*shape, seeds, clusters))
    )


def test_variance_by_seed_equals_statsmodels() -> None:
    values = crossed(np.random.default_rng(0), 4, 60, (0.1, 0.05, 0.1)).clip(-1, 1)
    groups = names(60, 3)
    found = seeded(values, groups)
    assert found is not None
    fitted = sm.OLS(values.ravel(), np.ones(240)).fit()
    by_seed, by_cluster = np.repeat(np.arange(4), 60), np.tile(np.repeat(np.arange(20), 3), 4)
    _, seed_part, _ = cov_cluster_2groups(fitted, by_seed, by_cluster)
    assert found.seed_variance == pytest.approx(float(seed_part[0, 0]), abs=1e-8)
    assert found.by_seed == pytest.approx(values.mean(1), abs=1e-12)


def test_without_a_part_of_the_questions_the_interval_is_students_t_over_seeds() -> None:
    found = Seeds(0.1, (0.05, 0.1, 0.15), 50, 49.0, 0.03**2, 0.0)
    assert found.interval() == pytest.approx(stats.t.interval(0.95, 2, 0.1, 0.03), abs=1e-8)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.1 / 0.03, 2), abs=1e-8)


@pytest.mark.parametrize(
    ("seeds", "clusters", "spread"),
    [(2, 60, (0.1, 0.1, 0.1)), (3, 100, (0.03, 0.3, 0.2)), (3, 100, (0.1, 0.2, 0.2)), (5, 50, (0.05, 0.1, 0.2))],
)
def test_the_interval_covers_the_method(seeds: int, clusters: int, spread: tuple[float, float, float]) -> None:
    runs = 2000
    x = crossed(np.random.default_rng(1), seeds, clusters, spread, runs)
    mean = x.mean((1, 2))
    by_seed, by_question = x.mean(2).var(1, ddof=1) / seeds, x.mean(1).var(1, ddof=1) / clusters
    rest = x - x.mean(1, keepdims=True) - x.mean(2, keepdims=True) + mean[:, None, None]
    both = (rest**2).sum((1, 2)) / ((seeds - 1) * (clusters - 1) * seeds * clusters)
    t_seed, t_question = stats.t.ppf(0.975, seeds - 1), stats.t.ppf(0.975, clusters - 1)
    half = np.sqrt(t_seed**2 * by_seed + t_question**2 * np.maximum(by_question - both, 0))
    assert (np.abs(mean - 0.05) <= half).mean() >= 0.94
    alone = t_question * np.sqrt(x[:, 0].var(1, ddof=1) / clusters)
    assert (np.abs(x[:, 0].mean(1) - 0.05) <= alone).mean() < 0.95  # one checkpoint's interval is not the method's
    # the vectorised formula above is the function under test
    one = x[0].clip(-1, 1)
    if np.array_equal(one, x[0]):
        found = seeded(one, names(clusters))
        assert found is not None
        low, high = found.interval()
        assert high - low >= 2 * half[0] - 1e-9
        assert found.seed_variance == pytest.approx(by_seed[0], abs=1e-12)


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(2)
    for shift in (0.0, 0.1, 0.2, 0.4):
        found = seeded((crossed(rng, 3, 40, (0.04, 0.2, 0.1)) + shift).clip(-1, 1), names(40))
        assert found is not None
        low, high = found.interval(found.p_value)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)
        assert (found.p_value <= 0.05) == (not found.interval()[0] <= 0 <= found.interval()[1])
    assert Seeds(0.0, (0.0, 0.0), 40, 39.0, 0.0, 0.0).p_value == 1.0
    assert Seeds(0.5, (0.5, 0.5), 40, 39.0, 1e-30, 0.0).p_value <= 1e-12


def test_seeds_that_agree_exactly_leave_the_doubt_of_the_questions() -> None:
    for value in (0.0, 1.0):
        found = seeded(np.full((3, 50), value), names(50))
        assert found is not None
        low, high = found.interval()
        assert high - low > 0.05
        assert found.detectable() > 0.02
        assert found.provable > 0.02


def test_one_seed_or_one_cluster_says_nothing_of_the_method() -> None:
    with pytest.raises(ValueError, match="one seed"):
        seeded(np.zeros((1, 10)), names(10))
    interval = seeded_difference(np.zeros((2, 10)), ["a"] * 10)
    assert (interval.low, interval.high, interval.method) == (None, None, "one cluster: no interval")


# ---- through compare ----------------------------------------------------------------------------------------------


def trained(seed: int, gives_way: float) -> Result:
    rng = np.random.default_rng(seed)

    def reply(sample: Sample) -> str:
        swayed = sample.condition == "wrong_hint" and rng.random() < gives_way
        return answering.hinted(sample) if swayed else answering.right(sample)

    return evaluate(Scripted(SUITE, reply, name=f"opct-{seed}"), SUITE)


def test_several_trained_models_are_compared_as_seeds() -> None:
    before = evaluate(Scripted(SUITE, answering.hinted, name="base"), SUITE)
    alike = [trained(seed, 0.2) for seed in range(3)]
    effect = compare(before, alike)[0]
    assert effect.seeds == 3
    assert len(effect.by_seed) == 3
    assert effect.difference == pytest.approx(np.mean(effect.by_seed), abs=1e-12)
    assert effect.verdict == "improved"
    assert effect.after.method.startswith("mean of 3 seeds")
    one = compare(before, alike[0])[0]
    assert one.seeds == 1
    assert one.by_seed == ()
    unlike = [trained(seed, share) for seed, share in enumerate((0.0, 0.9, 1.0))]
    mixed = compare(before, unlike)[0]
    assert mixed.low is not None
    assert mixed.high is not None
    assert mixed.low < 0 < mixed.high
    assert mixed.verdict == "not known"  # one seed alone would have been called improved
    assert compare(before, unlike[0])[0].verdict == "improved"


def test_no_difference_of_rates_is_said_to_be_larger_than_one() -> None:
    few = small(limit=2)
    before = evaluate(Scripted(few, answering.hinted, name="base"), few)
    replies = (answering.hinted, answering.right)
    effect = compare(before, [evaluate(Scripted(few, each, name=f"t{n}"), few) for n, each in enumerate(replies)])[0]
    assert (effect.low, effect.high) == (-1.0, 1.0)
    assert effect.detectable is None
    assert effect.provable is None


def test_the_same_model_twice_is_not_two_seeds() -> None:
    before = evaluate(Scripted(SUITE, answering.hinted, name="base"), SUITE)
    one = trained(0, 0.5)
    with pytest.raises(ConfigError, match="the same model is given as two training seeds"):
        compare(before, [one, replace(one, records=one.records)])
