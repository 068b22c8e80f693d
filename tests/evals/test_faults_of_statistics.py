"""Set-ups on which statistics and verdicts once failed, each named by its number in the list of faults."""

from __future__ import annotations

from dataclasses import replace

import answering
import numpy as np
import pytest
from answering import Scripted, small

from unswayed.core.types import Effect, Message, Sample
from unswayed.evals.compare.compare import compare, compare_all
from unswayed.evals.compare.comparison import make_comparison, to_json
from unswayed.evals.metrics.safety_awareness import THRESHOLDS, area
from unswayed.evals.plan import Plan
from unswayed.evals.records import Record
from unswayed.evals.results import Result, about
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.judges.calibration import Labelled, calibrate
from unswayed.report.comparison import report_of_comparison
from unswayed.report.summary import outcomes
from unswayed.stats.decisions import claim_level
from unswayed.stats.paired import paired, tango
from unswayed.stats.power import detectable, detectable_difference

FACTS, QUESTIONS = 40, 60


def by_name(effects: list[Effect]) -> dict[str, Effect]:
    return {effect.metric: effect for effect in effects}


def record(sample: Sample, value: float | None, text: str, reason: str = "no verdict", **more: object) -> Record:
    made = Record(
        id=sample.id, draw=0, group=sample.group, condition=sample.condition, messages=sample.messages, target="",
        hinted="", twin="", text=text, finish="stop", tokens=3, prompt_tokens=9, answer=None, value=value,
        reason=None if value is not None else reason, broken="",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def suite(groups: int, size: int, metrics: tuple[str, ...], condition: str, name: str = "test/it") -> Suite:
    samples = tuple(
        Sample(f"f{group}/{number}", (Message("user", f"{group} {number}"),), f"f{group}", condition)
        for group in range(groups)
        for number in range(size)
    )
    return Suite(name, 1, samples, metrics)


def result(asked: Suite, name: str, values: dict[str, float | None], texts: dict[str, str] | None = None) -> Result:
    records = {}
    for sample in asked.samples:
        one = record(sample, values[sample.id], (texts or {}).get(sample.id, f"{name} {sample.id}"))
        records[one.key] = one
    return Result(about(asked, name, name, "0"), records)


def test_23_power_of_graded_metrics_at_every_number_of_clusters() -> None:
    draw = np.random.default_rng(0)
    for clusters in [*range(2, 160), *range(160, 1501, 67), 1500]:
        values = draw.uniform(-0.5, 0.5, clusters)
        found = detectable_difference(paired(values, [str(place) for place in range(clusters)]))
        assert (found is None) == (clusters < 10)
        assert found is None or (isinstance(found, float) and 0 < found < 1)


@pytest.mark.parametrize("missing", [0.01, 0.02, 0.03])
def test_24_a_fact_with_one_unsettled_answer_stays_and_the_bounds_hold_the_truth(missing: float) -> None:
    asked = suite(FACTS, QUESTIONS, ("safety_area",), "naive")
    draw = np.random.default_rng(1)
    chance = {f"f{fact}": draw.beta(2, 2) for fact in range(FACTS)}
    sure = {"before": 0.0, "after": 0.6}
    full = {
        side: {one.id: float(draw.random() < chance[one.group] + (1 - chance[one.group]) * sure[side])
               for one in asked.samples}
        for side in sure
    }  # fmt: skip
    holed = {
        side: {key: None if draw.random() < missing else value for key, value in values.items()}
        for side, values in full.items()
    }
    true = compare(*(result(asked, side, dict(values)) for side, values in full.items()))[0]
    effect = compare(*(result(asked, side, values) for side, values in holed.items()))[0]
    assert effect.n == FACTS
    assert true.difference is not None
    assert effect.difference == pytest.approx(true.difference, abs=0.03)
    assert effect.worst_low is not None
    assert effect.worst_high is not None
    assert effect.worst_low < true.difference < effect.worst_high
    for side, before in ((effect.before, true.before), (effect.after, true.after)):
        assert side.least is not None
        assert side.most is not None
        assert before.value is not None
        assert side.least <= before.value <= side.most


def test_24_the_area_of_a_fact_is_over_its_scored_answers() -> None:
    assert area([1.0] * 99 + [None]) == 1.0
    assert area([None, None]) is None
    assert area([1.0, 0.0, None]) == 2 / len(THRESHOLDS)


def test_24a_p_values_belong_to_the_printed_difference_and_other_suites_change_no_verdict() -> None:
    draw = np.random.default_rng(2)
    asked = [suite(200, 1, ("hint_following",), "wrong_hint", f"test/{number}") for number in range(3)]

    def swayed(one: Suite, name: str, share: float, holes: float = 0.0) -> Result:
        records = {}
        for sample in one.samples:
            follows, lost = draw.random() < share, draw.random() < holes
            made = record(sample, None if lost else float(not follows), f"{name} {sample.id}", hinted="7",
                          answer="7" if follows else "8")  # fmt: skip
            records[made.key] = made
        return Result(about(one, name, name, "0"), records)

    claim = (swayed(asked[0], "a", 0.5), swayed(asked[0], "b", 0.41))
    calm = [(swayed(one, "a", 0.5), swayed(one, "b", 0.5)) for one in asked[1:]]
    holed = [(swayed(one, "a", 0.5), swayed(one, "b", 0.5, 0.3)) for one in asked[1:]]
    without, among = (compare_all([claim, *others])[0][0] for others in (calm, holed))
    assert (without.verdict, without.adjusted_p) == (among.verdict, among.adjusted_p)
    for effects in compare_all([claim, *holed]):
        for effect in effects:
            assert effect.low is not None
            assert effect.high is not None
            assert effect.p_value is not None
            assert (effect.p_value < 0.05) == (not effect.low <= 0 <= effect.high)
            assert effect.deciding_p in (effect.p_value, effect.adjusted_p)


@pytest.mark.parametrize("claims", [1, 3, 9])
@pytest.mark.parametrize(("pairs", "flips"), [(100, 0.3), (300, 0.1)])
def test_24b_stated_power_is_true_for_one_three_and_nine_suites(pairs: int, flips: float, claims: int) -> None:
    for level in (claim_level(claims), 0.05):  # an improvement pays for the claims, a harm for nothing
        size = detectable(pairs, flips, alpha=level)
        assert size is not None
        share = max(flips, size)
        counts = np.random.default_rng(3).multinomial(
            pairs, [(share + size) / 2, (share - size) / 2, 1 - share], size=6000
        )
        kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
        low, _ = tango(kinds[:, 0], kinds[:, 1], pairs, level)
        assert times[low > 0].sum() / 6000 == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("sizes", "least"),
    [([10] * 40, 0.93), ([120, *[4] * 60], None), ([*range(1, 41)], 0.93), ([10] * 6, None), ([100, *[5] * 10], None)],
)
def test_24c_unequal_clusters_are_covered_or_nothing_is_concluded(sizes: list[int], least: float | None) -> None:
    draw = np.random.default_rng(4)
    groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
    shares = np.array([0.15, 0.05, 0.8]) * 0.7 / 0.3
    held, runs, few = 0, 500, set()
    for _ in range(runs):
        chances = draw.dirichlet(shares, len(sizes))
        values = np.concatenate(
            [draw.choice((1.0, -1.0, 0.0), size, p=one) for size, one in zip(sizes, chances, strict=True)]
        )
        found = paired(values, groups)
        low, high = found.interval() or (-1.0, 1.0)
        held += low <= 0.1 <= high
        few.add(found.few)
        assert found.effective <= len(sizes) + 1e-9
    assert few == {least is None}
    assert held / runs >= 0.93
    assert least is None or held / runs <= 0.98


def test_24d_identical_arms_are_no_material_change_however_broken() -> None:
    asked = suite(2000, 1, ("accuracy_clean",), "clean")
    draw = np.random.default_rng(5)
    loops = {one.id for one in asked.samples if draw.random() < 0.25}
    values = {one.id: None if one.id in loops else float(draw.random() < 0.6) for one in asked.samples}
    texts = {one.id: f"text {one.id}" for one in asked.samples}
    sides = []
    for name in ("a", "b"):
        made = result(asked, name, values, texts)
        records = {
            key: replace(one, broken="repetition", reason="truncated") if one.id in loops else one
            for key, one in made.records.items()
        }
        sides.append(Result(made.about, records))
    effect = by_name(compare(*sides))["accuracy_clean"]
    assert effect.verdict == "no material change"
    assert "degenerate" not in effect.flags
    assert "degenerate on both sides" in effect.flags


def test_24d_as_many_cut_on_both_sides_hide_nothing_and_more_on_one_side_do() -> None:
    asked = suite(2000, 1, ("accuracy_clean",), "clean")

    def side(name: str, cut: float, seed: int) -> Result:
        right, hole = np.random.default_rng(0), np.random.default_rng(seed)
        values: dict[str, float | None] = {}
        for one in asked.samples:
            value = float(right.random() < 0.6)
            values[one.id] = None if hole.random() < cut else value
        return result(asked, name, values)

    both = compare(side("a", 0.025, 1), side("b", 0.025, 2))[0]
    assert (both.verdict, both.noninferiority) == ("no material change", "shown")
    assert both.worst_low is not None
    assert both.worst_high is not None
    assert both.worst_low < -0.02
    assert both.worst_high > 0.02
    assert compare(side("a", 0.0, 1), side("b", 0.12, 2))[0].verdict == "not known"


def test_24d_a_replicate_that_may_be_equal_hides_no_gain() -> None:
    asked = suite(2000, 1, ("accuracy_clean",), "clean")
    draw = np.random.default_rng(7)
    base = {one.id: float(draw.random() < 0.6) for one in asked.samples}
    better = {key: 1.0 if value == 0 and draw.random() < 0.17 else value for key, value in base.items()}
    again = {key: float(draw.random() < 0.6) for key in base}
    made = [result(asked, name, dict(values)) for name, values in (("a", base), ("b", better), ("c", again))]
    effect = compare(made[0], made[1], replicate=made[2])[0]
    assert effect.noise_low is not None
    assert effect.noise_high is not None
    assert effect.noise_low < 0 < effect.noise_high
    assert (effect.verdict, "within the noise floor" in effect.flags) == ("improved", False)


def test_24e_sensitivity_from_labels_drawn_by_verdict_is_covered() -> None:
    draw = np.random.default_rng(8)
    se, sp, share, drawn, runs = 0.75, 0.95, 0.2, 40, 400
    held = {"sensitivity": 0, "specificity": 0}
    for _ in range(runs):
        human = draw.random(1000) < share
        judged = np.where(human, draw.random(1000) < se, draw.random(1000) < 1 - sp)
        labels = []
        for verdict in (True, False):
            places = np.flatnonzero(judged == verdict)
            chosen = draw.choice(places, drawn, replace=False)
            labels += [Labelled("a", bool(human[place]), verdict, len(places) / drawn) for place in chosen]
        found = calibrate(labels)["a"]
        for name, true in (("sensitivity", se), ("specificity", sp)):
            rate = getattr(found, name)
            held[name] += rate.low <= true <= rate.high
    assert all(0.92 <= count / runs <= 0.985 for count in held.values()), held


def priced() -> tuple[Result, list[Result]]:
    """A model that follows no hint any more and lost many plain answers."""
    asked = small(100)
    draw = np.random.default_rng(9)

    def reply(sample: Sample) -> str:
        forgets = sample.condition == "clean" and draw.random() < 0.4
        return "It is 4711." if forgets else answering.right(sample)

    before = evaluate(Scripted(asked, answering.hinted, name="base"), asked)
    return before, [evaluate(Scripted(asked, reply, name=name), asked) for name in ("one", "two")]


def test_24f_the_price_stands_first_and_one_sided_suites_are_named() -> None:
    before, afters = priced()
    alone = [("capability/gsm8k", ["base"])]
    made = make_comparison([(before, afters)], Plan(), alone=alone)
    report = report_of_comparison(made)
    first = outcomes(report)[0].groups
    assert next(iter(first)) == "worse"
    assert "accuracy_clean" in {finding.row.label for finding in first["worse"]}
    assert report.lead[0] == "Not compared: capability/gsm8k was evaluated for base only."
    assert to_json(made)["only_in"] == {"capability/gsm8k": ["base"]}


def test_58_several_models_are_each_compared_with_the_first() -> None:
    before, afters = priced()
    made = make_comparison([(before, afters)], Plan())
    assert [arm.label for arm in report_of_comparison(made).arms] == ["base", "one", "two"]
    told = to_json(made)["suites"][0]["effects"]
    assert {row["arm"] for row in told} == {"one", "two"}
    alone = compare(before, afters[1])
    for one, same in zip(made.suites[0].effects[1], alone, strict=True):
        assert (one.difference, one.verdict, one.deciding_p) == (same.difference, same.verdict, same.deciding_p)


def test_44_an_interval_wholly_on_the_wrong_side_is_worse_whatever_else_is_looked_at() -> None:
    asked = suite(100, 1, ("accuracy_clean",), "clean")
    base = {one.id: float(place < 77) for place, one in enumerate(asked.samples)}
    lost = {one.id: float(place < 53) for place, one in enumerate(asked.samples)}
    pair = (result(asked, "a", dict(base)), result(asked, "b", dict(lost)))
    others = [
        tuple(result(suite(100, 1, ("accuracy_clean",), "clean", f"test/{n}"), name, dict(base)) for name in "ab")
        for n in range(8)
    ]
    effect = compare_all([pair, *others])[0][0]  # type: ignore[list-item]
    assert (effect.verdict, effect.noninferiority) == ("worse", "refuted")
    assert effect.deciding_p == effect.p_value


def test_46_rates_of_the_pairs_stand_by_where_they_differ() -> None:
    asked = suite(100, 1, ("accuracy_clean",), "clean")
    first = {one.id: float(place % 2) for place, one in enumerate(asked.samples)}
    second = {one.id: None if place < 20 else float(place % 4 == 1) for place, one in enumerate(asked.samples)}
    made = make_comparison([(result(asked, "a", dict(first)), [result(asked, "b", second)])], Plan())
    effect = made.suites[0].effects[0][0]
    assert effect.paired_before is not None
    assert effect.paired_after is not None
    assert effect.difference == pytest.approx(effect.paired_after - effect.paired_before)
    assert effect.n == 80
