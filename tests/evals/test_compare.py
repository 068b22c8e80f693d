"""Verdicts: never by chance too often, never for a collapsed model, never from what was not measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import answering
import numpy as np
import pytest
from answering import Scripted, small
from statsmodels.stats.contingency_tables import mcnemar

from unswayed.core.errors import ConfigError
from unswayed.core.types import Effect, Message, Sample
from unswayed.evals.compare.compare import compare, compare_all
from unswayed.evals.metrics import HEALTH, METRICS
from unswayed.evals.records import Record
from unswayed.evals.results import Result, about
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.evals.suites.sycophancy import suggested_answer
from unswayed.questions.items import fact_items

QUESTIONS = 100
SUITE = small(QUESTIONS)
PHRASED = small(25, hints_per_item=5)


@pytest.fixture(autouse=True)
def _no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at every correction; over hundreds of audits that is most of the time."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def drawn(rng: np.random.Generator, follow: float, right: float, suite: Suite = SUITE, unscored: float = 0.0) -> Result:
    """Return the result of a model that follows hints and knows answers with the given chances."""
    records = {}
    for sample in suite.samples:
        hint = sample.meta.get("hinted", "")
        known = sample.target[0] if rng.random() < right else f"other-{sample.group}"
        answer = hint if hint and rng.random() < follow else known
        read = rng.random() >= unscored
        value = float(answer == sample.target[0]) if read else None
        record = _record(sample, answer if read else None, value, None if read else "ambiguous")
        records[record.key] = record
    return Result(_about(suite.key), records)


@cache
def _about(key: str) -> dict[str, object]:
    suite = next(suite for suite in (SUITE, PHRASED) if suite.key == key)
    return about(suite, "drawn", "drawn", "0")


def _record(sample: Sample, answer: str | None, value: float | None, reason: str | None) -> Record:
    return Record(
        id=sample.id, draw=0, group=sample.group, condition=sample.condition, messages=(Message("user", "?"),),
        target=sample.target[0], hinted=sample.meta.get("hinted", ""), twin=sample.meta.get("twin", ""),
        text=f"{answer} {sample.id}", finish="stop", tokens=3, prompt_tokens=9,
        answer=answer, value=value, reason=reason, broken="",
    )  # fmt: skip


def by_name(effects: list[Effect]) -> dict[str, Effect]:
    return {effect.metric: effect for effect in effects}


def scripted_result(reply: Callable[[Sample], str], suite: Suite = SUITE) -> Result:
    return evaluate(Scripted(suite, reply), suite)


# ---- error rates --------------------------------------------------------------------------------------------------


def test_two_evaluations_with_several_hints_a_question_seldom_differ() -> None:
    rng = np.random.default_rng(1)
    audits, false = 60, 0
    for _ in range(audits):
        sides = []
        for _side in range(2):
            # every wording of a question goes the same way: the worst case for treating them as independent
            chance = {sample.group: float(rng.random() < 0.4) for sample in PHRASED.samples}
            records = {}
            for sample in PHRASED.samples:
                hint = sample.meta.get("hinted")
                answer = hint if hint and chance[sample.group] else sample.target[0]
                record = _record(sample, answer, float(answer == sample.target[0]), None)
                records[record.key] = record
            sides.append(Result(_about(PHRASED.key), records))
        effects = compare(*sides)
        assert {effect.clusters for effect in effects} == {25}
        false += any(effect.verdict in {"improved", "worse"} for effect in effects)
    assert false / audits <= 0.05


def test_a_planted_effect_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(40):
        effects = by_name(compare(drawn(rng, 0.6, 0.9), drawn(rng, 0.25, 0.9)))
        found += effects["hint_following"].verdict == "improved"
        assert all(effects[name].verdict != "worse" for name in ("hint_following", "accuracy_wrong_hint"))
    assert found >= 36
    reverse = by_name(compare(drawn(rng, 0.2, 0.9), drawn(rng, 0.7, 0.9)))
    assert reverse["hint_following"].verdict == "worse"
    assert reverse["accuracy_wrong_hint"].verdict == "worse"


def test_a_lost_capability_is_found_beside_the_gain() -> None:
    rng = np.random.default_rng(3)
    effects = by_name(compare(drawn(rng, 0.6, 0.95), drawn(rng, 0.1, 0.6)))
    assert effects["hint_following"].verdict == "improved"
    assert effects["accuracy_clean"].verdict == "worse"
    assert "at the cost of accuracy_clean" in effects["hint_following"].flags
    assert not any("at the cost" in flag for flag in effects["accuracy_clean"].flags)


def test_a_model_that_only_babbles_is_not_called_better_without_saying_at_what_cost() -> None:
    suite = suggested_answer(items=fact_items("capitals")[:40])
    before = scripted_result(answering.hinted, suite)
    after = scripted_result(lambda sample: f"Zork {sample.id[::-1]} is {sample.group[::-1]}", suite)
    effects = by_name(compare(before, after))
    assert effects["accuracy_clean"].verdict == "worse"
    for name in ("hint_following", "biased_reasoning"):
        assert effects[name].verdict != "improved" or "at the cost of accuracy_clean" in effects[name].flags


# ---- what an effect holds -----------------------------------------------------------------------------------------


def test_the_same_result_twice_is_no_material_change_where_there_are_enough_pairs() -> None:
    result = scripted_result(answering.hinted)
    for effect in compare(result, result):
        assert (effect.difference, effect.p_value, effect.n) == (
            0,
            1,
            QUESTIONS if effect.metric not in HEALTH else 300,
        )
        assert effect.low is not None
        assert effect.low < 0
        assert effect.verdict == "no material change"
    few = scripted_result(answering.hinted, small(20))
    assert {effect.verdict for effect in compare(few, few) if effect.metric not in HEALTH} == {"not known"}


def test_numbers_are_those_of_mcnemar_and_tango() -> None:
    rng = np.random.default_rng(4)
    before, after = drawn(rng, 0.6, 0.9), drawn(rng, 0.4, 0.9)
    effect = by_name(compare(before, after))["hint_following"]
    keys = [key for key, record in before.records.items() if record.condition == "wrong_hint"]
    first = np.array([before.records[key].answer == before.records[key].hinted for key in keys])
    second = np.array([after.records[key].answer == after.records[key].hinted for key in keys])
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    assert effect.p_value == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue, abs=1e-8)
    assert effect.difference == pytest.approx(second.mean() - first.mean(), abs=1e-12)
    assert effect.before.value == first.mean()
    assert effect.after.value == second.mean()
    assert effect.detectable is not None
    assert 0.1 < effect.detectable < 0.4
    assert effect.adjusted_p is not None
    assert effect.p_value is not None
    assert effect.adjusted_p >= effect.p_value


def test_primary_metrics_are_one_family_over_all_suites_and_not_diluted_by_the_rest() -> None:
    rng = np.random.default_rng(5)
    sides = [(drawn(rng, 0.5, 0.9), drawn(rng, 0.35, 0.9)) for _ in range(3)]
    one = by_name(compare(*sides[0]))["hint_following"]
    all_three = by_name(compare_all(sides)[0])["hint_following"]
    assert one.p_value == all_three.p_value
    assert one.p_value is not None
    assert one.adjusted_p is not None
    assert all_three.adjusted_p is not None
    assert (one.claims, all_three.claims) == (3, 9)
    assert one.adjusted_p == pytest.approx(min(1.0, 3 * one.p_value))
    assert all_three.adjusted_p == pytest.approx(min(1.0, 9 * one.p_value))
    assert one.detectable is not None
    assert all_three.detectable is not None
    assert one.detectable < all_three.detectable
    assert one.detectable_harm == all_three.detectable_harm  # a harm pays nothing for what else was looked at


def test_missing_pairs_are_counted_and_a_change_must_stand_at_their_worst() -> None:
    rng = np.random.default_rng(6)
    for share, verdict in ((0.01, "improved"), (0.15, "improved"), (0.4, "not known")):
        before, after = drawn(rng, 0.7, 0.9, unscored=share), drawn(rng, 0.1, 0.9, unscored=share)
        effect = by_name(compare(before, after))["hint_following"]
        missing = sum(
            record.value is None or after.records[key].value is None
            for key, record in before.records.items()
            if record.condition == "wrong_hint"
        )
        assert effect.n == QUESTIONS - missing
        assert effect.verdict == verdict
        assert effect.high is not None
        assert not missing or (effect.worst_high is not None and effect.worst_high > effect.high)
        assert not missing or f"{missing} of {QUESTIONS} pairs missing" in effect.flags


def test_the_worst_case_is_every_missing_value_set_against_the_change() -> None:
    rng = np.random.default_rng(7)
    before, after = drawn(rng, 0.7, 0.9, unscored=0.1), drawn(rng, 0.2, 0.9, unscored=0.1)
    effect = by_name(compare(before, after))["hint_following"]
    pairs = [
        (r.value is not None, float(r.answer == r.hinted), s.value is not None, float(s.answer == s.hinted))
        for r, s in ((before.records[key], after.records[key]) for key in before.records)
        if r.condition == "wrong_hint"
    ]
    worst = [(y if seen_y else 1.0) - (x if seen_x else 0.0) for seen_x, x, seen_y, y in pairs]
    mean = sum(worst) / len(worst)
    assert effect.worst_low is not None
    assert effect.worst_high is not None
    assert effect.low is not None
    assert effect.worst_low < effect.low < mean < effect.worst_high  # both directions of the worst case
    assert effect.difference is not None
    assert mean > effect.difference


@pytest.mark.parametrize(("cut_samples", "verdict"), [(4, "improved"), (60, "not known")])
def test_truncation_in_one_arm_counts_against_the_change(cut_samples: int, verdict: str) -> None:
    before = scripted_result(answering.hinted)
    cut = {sample.id for sample in SUITE.samples[1 : 3 * cut_samples : 3]}  # wrong-hint samples
    after = scripted_result(lambda s: answering.rambling(s) if s.id in cut else answering.right(s))
    effects = by_name(compare(before, after))
    assert "truncated" in effects["hint_following"].flags
    assert f"{cut_samples} of 100 pairs missing" in effects["hint_following"].flags
    assert effects["hint_following"].verdict == verdict
    if cut_samples == 4:
        assert effects["accuracy_right_hint"].verdict == "no material change"


@pytest.mark.parametrize(
    "name", ["agreeing", "refusing", "silent", "echoing", "constant", "contrary", "rambling", "looping"]
)
@pytest.mark.parametrize("start", ["hinted", "right"])
def test_a_collapsed_model_never_improves(name: str, start: str) -> None:
    before, after = scripted_result(getattr(answering, start)), scripted_result(getattr(answering, name))
    effects = compare(before, after)
    assert all("degenerate" in effect.flags for effect in effects)
    assert {effect.verdict for effect in effects} <= {"worse", "not known"}


def test_a_collapsed_baseline_is_flagged() -> None:
    effects = compare(scripted_result(answering.constant), scripted_result(answering.right))
    assert all("degenerate before" in effect.flags for effect in effects)


def test_nothing_scored_is_inconclusive_without_numbers() -> None:
    effect = by_name(compare(scripted_result(answering.right), scripted_result(answering.silent)))["accuracy_clean"]
    assert (effect.difference, effect.low, effect.high, effect.n, effect.p_value) == (None, None, None, 0, None)
    assert (effect.verdict, effect.detectable) == ("not known", None)


# ---- refusals -----------------------------------------------------------------------------------------------------


def test_other_suites_other_samples_and_odd_margins_are_refused() -> None:
    result = scripted_result(answering.right)
    other = scripted_result(answering.right, small(QUESTIONS - 1))
    with pytest.raises(ConfigError, match="samples_sha256"):
        compare(result, other)
    longer = replace(SUITE, params=replace(SUITE.params, max_new_tokens=9))
    with pytest.raises(ConfigError, match="max_new_tokens: 48 there, 9 here"):
        compare(result, scripted_result(answering.right, longer))
    lost = Result(result.about, dict(list(result.records.items())[1:]))
    with pytest.raises(ConfigError, match="1 samples are on one side only"):
        compare(result, lost)
    for margin in (0.0, -0.1, 1.0, 5.0):
        with pytest.raises(ConfigError, match="margin of default is"):
            compare(result, result, margin=margin)


def test_the_margin_decides_what_is_material() -> None:
    rng = np.random.default_rng(7)
    before, after = drawn(rng, 0.5, 0.9), drawn(rng, 0.45, 0.9)
    assert by_name(compare(before, after, margin=0.05))["hint_following"].verdict == "not known"
    assert by_name(compare(before, after, margin=0.3))["hint_following"].verdict == "no material change"


def test_every_metric_says_what_it_is() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.version >= 1
        assert metric.description.endswith(".")
