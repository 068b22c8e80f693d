"""Whole audits by simulation: false alarms, planted regressions, clusters taken for samples, and arms that broke."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import answering
import numpy as np
import pytest
from answering import small
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unswayed.core.types import UNKNOWN, Completion, Sample, Score
from unswayed.evals.compare.compare import compare
from unswayed.evals.records import Record, make_record
from unswayed.evals.results import Result, about
from unswayed.stats.intervals import proportion
from unswayed.stats.paired import paired, tango
from unswayed.stats.power import detectable

SUITE = small(40)
ABOUT = about(SUITE, "drawn", "drawn", "0")


@pytest.fixture(autouse=True)
def _no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at every correction; over hundreds of audits that is most of the time."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def answered(sample: Sample, text: str) -> Record:
    completion = Completion(text, "stop", 9, 9)
    return make_record(sample, 0, completion, SUITE.score(sample, completion), None)


KNOWN = {sample.id: answered(sample, f"It is {sample.target[0]}.") for sample in SUITE.samples}
SWAYED = {sample.id: answered(sample, f"It is {answering.hinted(sample)}.") for sample in SUITE.samples}
WRONG = {sample.id: answered(sample, "It is 4711.") for sample in SUITE.samples}


def model(rng: np.random.Generator, follow: float, right: float) -> Result:
    """A model that follows a hint, knows the answer, or is wrong, with these chances."""
    records = {}
    for sample in SUITE.samples:
        known = KNOWN if rng.random() < right else WRONG
        record = (SWAYED if sample.condition != "clean" and rng.random() < follow else known)[sample.id]
        records[record.key] = record
    return Result(ABOUT, records)


# ---- error rates --------------------------------------------------------------------------------------------------


def test_24b_of_300_audits_of_one_model_against_itself_few_claim_anything() -> None:
    """At most one audit in twenty claims an improvement, and one row in twenty is called worse."""
    rng = np.random.default_rng(20)
    claimed, worse, rows = 0, 0, 0
    for audit in range(300):
        chances = ((0.4, 0.8), (0.1, 0.95))[audit % 2]
        verdicts = [effect.verdict for effect in compare(model(rng, *chances), model(rng, *chances))]
        claimed += "improved" in verdicts
        worse += verdicts.count("worse")
        rows += len(verdicts)
    assert claimed / 300 <= 0.05
    assert worse / rows <= 0.05


@pytest.mark.parametrize("share", [0.06, 0.1, 0.2])
def test_a_planted_regression_of_five_points_is_found_at_the_stated_power(share: float) -> None:
    # as many pairs as make five points the smallest detectable difference
    usual = round(7.85 * share / 0.05**2)  # (1.96 + 0.84)^2 psi / delta^2
    pairs = next(n for n in range(round(0.7 * usual), 2 * usual, 4) if (detectable(n, share) or 1) <= 0.05)
    counts = np.random.default_rng(21).multinomial(
        pairs, [(share - 0.05) / 2, (share + 0.05) / 2, 1 - share], size=3000
    )
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    _, high = tango(kinds[:, 0], kinds[:, 1], pairs)
    assert times[high < 0].sum() / 3000 == pytest.approx(0.8, abs=0.03)


def test_prompts_of_one_fact_taken_for_independent_cover_a_quarter_of_the_time_and_ours_95() -> None:
    facts, prompts, rate, icc, runs = 50, 113, 0.6, 0.3, 500  # the size of SAGE-Eval's test half
    rng = np.random.default_rng(22)
    spread = (1 - icc) / icc
    sums = rng.binomial(prompts, rng.beta(rate * spread, (1 - rate) * spread, size=(runs, facts)))
    means = sums.sum(1) / (facts * prompts)
    naive = np.abs(means - rate) <= 1.96 * np.sqrt(means * (1 - means) / (facts * prompts))
    assert naive.mean() == pytest.approx(0.26, abs=0.06)
    groups = [f"f{i // prompts}" for i in range(facts * prompts)]
    covered = 0
    for one in sums:
        found = proportion((np.arange(prompts) < one[:, None]).astype(float).ravel().tolist(), groups)
        covered += (found.low or 0) <= rate <= (found.high or 1)
    assert 0.93 <= covered / runs <= 0.97


@pytest.mark.parametrize("kind", ["judge's scores", "rare harm", "small changes", "differences of differences"])
@pytest.mark.parametrize("clusters", [30, 100])
def test_graded_differences_are_covered_where_t_intervals_are_not(kind: str, clusters: int) -> None:
    rng = np.random.default_rng(23)
    runs = 500

    def arm(share: float) -> np.ndarray:
        return np.where(rng.random((runs, clusters)) < share, rng.integers(1, 9, (runs, clusters)) / 8, 0)

    def yes(share: float) -> np.ndarray:
        return (rng.random((runs, clusters)) < share).astype(float)

    moved, true = {
        "judge's scores": lambda: (arm(0.1) - arm(0.05), 0.05 * 4.5 / 8),
        "rare harm": lambda: (arm(0.02) - arm(0.01), 0.01 * 4.5 / 8),
        "small changes": lambda: (rng.normal(0.01, 0.02, (runs, clusters)), 0.01),
        "differences of differences": lambda: (yes(0.4) - yes(0.1) - yes(0.6) + yes(0.1), -0.2),
    }[kind]()
    names = [f"g{i}" for i in range(clusters)]
    limits = [paired(row, names).interval() or (-2, 2) for row in moved]
    assert np.mean([low <= true <= high for low, high in limits]) >= 0.93
    if kind == "rare harm":
        half = stats.t.ppf(0.975, clusters - 1) * moved.std(1, ddof=1) / np.sqrt(clusters)
        assert (np.abs(moved.mean(1) - true) <= half).mean() < 0.9


# ---- arms that broke ----------------------------------------------------------------------------------------------


def outage(record: Record) -> Record:
    return replace(record, value=None, answer=None, reason="the judge did not answer")


def unparsed(record: Record) -> Record:
    return replace(record, value=0.0, answer=UNKNOWN, reason=None, text=f"Zork {record.id}.")


def ambiguous(record: Record) -> Record:
    return replace(record, value=None, answer=None, reason="ambiguous")


def truncated(record: Record) -> Record:
    return replace(record, value=None, answer=None, reason="truncated", finish="length")


BREAKS: list[Callable[[Record], Record]] = [outage, unparsed, ambiguous, truncated]


@given(
    st.sampled_from(BREAKS),
    st.sampled_from(["before", "after", "both"]),
    st.integers(1, len(SUITE.samples)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0.6, 0.9), (0.0, 1.0), (1.0, 1.0)]),
)
@settings(deadline=None, max_examples=40)
def test_what_was_not_measured_never_improves_anything(
    fault: Callable[[Record], Record], where: str, many: int, seed: int, chances: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    healthy = model(rng, *chances)

    def damaged() -> Result:
        struck = {list(healthy.records)[i] for i in rng.permutation(len(healthy.records))[:many]}
        return Result(ABOUT, {k: fault(r) if k in struck else r for k, r in healthy.records.items()})

    before = damaged() if where in {"before", "both"} else healthy
    after = damaged() if where in {"after", "both"} else healthy
    for effect in compare(before, after):
        if effect.metric in {"parse_rate", "truncation_rate"}:
            continue  # these measure the damage itself
        if where == "before" and fault is unparsed:
            continue  # a baseline that says nothing and a model that answers: an improvement it is
        assert effect.verdict != "improved", effect
        if many == len(SUITE.samples) and fault is not unparsed:
            assert effect.verdict == "not known"


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_gain_seen_through_a_broken_arm_is_inconclusive_or_flagged(
    fault: Callable[[Record], Record], share: float
) -> None:
    rng = np.random.default_rng(24)
    before, trained = model(rng, 0.9, 0.9), model(rng, 0.1, 0.9)
    after = Result(ABOUT, {k: fault(r) if rng.random() < share else r for k, r in trained.records.items()})
    effects = {effect.metric: effect for effect in compare(before, after)}
    for name in ("hint_following", "biased_reasoning", "accuracy_wrong_hint"):
        assert effects[name].flags
        assert effects[name].verdict != "improved" or share < 1
    if share == 1:
        assert {effects[name].verdict for name in ("hint_following", "biased_reasoning")} == {"not known"}


@pytest.mark.parametrize("start", [(0.9, 0.9), (0.5, 0.6)])
def test_a_collapsed_arm_never_improves(start: tuple[float, float]) -> None:
    rng = np.random.default_rng(25)
    before = model(rng, *start)
    for text in ("It is 4711.", "", "I'm sorry, but I cannot help with that."):
        records = {}
        for sample in SUITE.samples:
            completion = Completion(text, "stop", 5, 9)
            score = SUITE.score(sample, completion) if text else Score(None, reason="empty")
            record = make_record(sample, 0, completion, score, None if text else "empty")
            records[record.key] = record
        for effect in compare(before, Result(ABOUT, records)):
            assert "degenerate" in effect.flags
            assert effect.verdict in {"worse", "not known"}
            assert effect.noninferiority != "shown"
