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
from unswayed.stats.intervals import effective_size, graded_size, paired, proportion, sign_flip_p, tango
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


def test_of_500_audits_of_one_model_against_itself_at_most_one_in_twenty_holds_a_false_verdict() -> None:
    rng = np.random.default_rng(20)
    false = 0
    for audit in range(500):
        chances = ((0.4, 0.8), (0.1, 0.95))[audit % 2]
        verdicts = {effect.verdict for effect in compare(model(rng, *chances), model(rng, *chances))}
        false += bool(verdicts & {"improved", "worse"})
    assert false / 500 <= 0.05


@pytest.mark.parametrize("share", [0.06, 0.1, 0.2])
def test_a_planted_regression_of_five_points_is_found_at_the_stated_power(share: float) -> None:
    # as many pairs as make five points the smallest detectable difference
    usual = round(7.85 * share / 0.05**2)  # (1.96 + 0.84)^2 psi / delta^2
    pairs = next(n for n in range(usual, 2 * usual, 4) if (detectable(n, share) or 1) <= 0.05)
    rng = np.random.default_rng(21)
    runs = 3000
    counts = rng.multinomial(pairs, [(share - 0.05) / 2, (share + 0.05) / 2, 1 - share], size=runs)
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    _, high = tango(kinds[:, 0], kinds[:, 1], pairs)
    p = stats.binom.cdf(kinds.min(1), kinds.sum(1), 0.5) * 2
    found = times[(p <= 0.05) & (high < 0)].sum() / runs
    assert found == pytest.approx(0.8, abs=0.035)
    up, down = (int(kind) for kind in kinds[0])
    moved = [1.0] * up + [-1.0] * down + [0.0] * (pairs - up - down)
    names = [f"g{i}" for i in range(pairs)]
    # the vectorised formulas above are those under test
    assert sign_flip_p(moved, names) == pytest.approx(min(float(p[0]), 1.0), abs=1e-8)
    assert paired(moved, names).interval() == pytest.approx(
        tuple(float(limit[0]) for limit in tango(kinds[:1, 0], kinds[:1, 1], pairs)), abs=1e-9
    )


def test_prompts_of_one_fact_taken_for_independent_cover_a_quarter_of_the_time_and_ours_95() -> None:
    facts, prompts, rate, icc, runs = 50, 113, 0.6, 0.3, 4000  # the size of SAGE-Eval's test half
    rng = np.random.default_rng(22)
    spread = (1 - icc) / icc
    sums = rng.binomial(prompts, rng.beta(rate * spread, (1 - rate) * spread, size=(runs, facts)))
    n, z = facts * prompts, stats.norm.ppf(0.975)
    means = sums.sum(1) / n
    naive = np.abs(means - rate) <= z * np.sqrt(means * (1 - means) / n)
    assert naive.mean() == pytest.approx(0.26, abs=0.04)
    variance = facts / (facts - 1) * ((sums - prompts * means[:, None]) ** 2).sum(1) / n**2
    size = effective_size(n, facts, means * (1 - means) / n, variance)
    q = z**2 / size
    half = np.sqrt(q * means * (1 - means) + q**2 / 4) / (1 + q)
    covered = np.abs((means + q / 2) / (1 + q) - rate) <= half
    assert 0.93 <= covered.mean() <= 0.97
    values = (np.arange(prompts) < sums[0][:, None]).astype(float).ravel()
    one = proportion(values.tolist(), [f"f{i // prompts}" for i in range(n)])
    assert one.high is not None
    assert one.low is not None
    assert one.high - one.low == pytest.approx(2 * half[0], abs=1e-9)


@pytest.mark.parametrize("kind", ["judge's scores", "rare harm", "small changes", "differences of differences"])
@pytest.mark.parametrize("clusters", [30, 100])
def test_graded_differences_are_covered_where_t_intervals_are_not(kind: str, clusters: int) -> None:
    rng = np.random.default_rng(23)
    runs = 2000

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
    scale = 2 if kind == "differences of differences" else 1
    parts, mean = moved / scale, moved.mean(1) / scale
    rise, fall = np.maximum(parts, 0).mean(1), np.maximum(-parts, 0).mean(1)
    variance = parts.var(1, ddof=1) / clusters
    size = graded_size(clusters, clusters, (rise + fall - mean**2) / clusters, variance, (parts != 0).sum(1))
    low, high = tango(rise * size, fall * size, size)
    assert ((scale * low <= true) & (true <= scale * high)).mean() >= 0.94
    # the vectorised formula above is the function under test
    one = paired(moved[0], [f"g{i}" for i in range(clusters)])
    if not one.binary and one.scale == scale:
        assert one.interval() == pytest.approx((scale * low[0], scale * high[0]), abs=1e-9)
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
