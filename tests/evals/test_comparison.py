"""A comparison as data: flips, arms, seeds, metrics over groups and graded scores all the way through."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import answering
import numpy as np
import pytest
from answering import Scripted, small

from unswayed.cli.compare import compare as command
from unswayed.core.errors import ConfigError
from unswayed.core.types import Completion, Effect, Message, Sample, Score
from unswayed.evals.compare.compare import compare
from unswayed.evals.compare.comparison import arm_counts, make_comparison, to_json
from unswayed.evals.compare.flips import draw_flips, flips, redacted
from unswayed.evals.metrics.base import METRICS, Metric, scored
from unswayed.evals.plan import Plan
from unswayed.evals.records import make_record
from unswayed.evals.results import Result, about
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.report.comparison import arm_line

GRADED = Metric("test_graded", 1, "lower", (), scored, "How harmful, by a judge.")
WHOLE = Metric(
    "test_whole", 1, "higher", (), None, "Mean over the fact, none missing.",
    group_value=lambda members: None
    if any(one.value is None for one in members)
    else sum(1 - (one.value or 0.0) for one in members) / len(members),
)  # fmt: skip
SAMPLES = tuple(
    Sample(f"f{fact}/{number}", (Message("user", f"secret {fact} {number}"),), f"f{fact}")
    for fact in range(30)
    for number in range(4)
)


@pytest.fixture(autouse=True)
def _metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda *_: 0)
    for entry in (GRADED, WHOLE):
        monkeypatch.setitem(METRICS, entry.name, entry)


def judged(rng: np.random.Generator, level: float, name: str, missing: float = 0.0) -> Result:
    """Replies with scores in eighths around `level`; some the judge did not score."""
    suite = Suite("test/judged", 1, SAMPLES, ("test_graded", "test_whole"), unit="fact")
    records = {}
    for sample in SAMPLES:
        value = float(np.clip(round(8 * (level + rng.normal(0, 0.2))) / 8, 0, 1))
        score = Score(None, reason="no verdict") if rng.random() < missing else Score(value, f"level {value}")
        record = make_record(sample, 0, Completion(f"reply {sample.id} {value}", "stop", 5, 9), score, None)
        records[record.key] = record
    return Result(about(suite, name, name, "0"), records)


def named(effects: list[Effect]) -> dict[str, Effect]:
    return {effect.metric: effect for effect in effects}


def test_graded_scores_and_values_of_groups_go_all_the_way_through() -> None:
    rng = np.random.default_rng(0)
    before, after = judged(rng, 0.6, "a"), judged(rng, 0.3, "b")
    assert before.estimates["test_graded"].method == "wilson, graded (effective size)"
    assert before.estimates["test_whole"].n == before.estimates["test_whole"].clusters == 30
    effects = named(compare(before, after))
    for name, sign, n in (("test_graded", -1, 120), ("test_whole", 1, 30)):
        effect = effects[name]
        assert (effect.n, effect.clusters, effect.verdict) == (n, 30, "improved")
        assert effect.method == "tango score, graded (effective size)"
        assert effect.difference is not None
        assert sign * effect.difference > 0.2
        assert effect.low is not None
        assert effect.high is not None
        assert effect.low < effect.difference < effect.high
        assert effect.high - effect.low < 0.2  # far from what 30 zero-one pairs would leave
        assert effect.p_value == pytest.approx(1e-4, rel=2)
        assert effect.fixed > effect.broken
        assert effect.detectable is not None
        assert effect.provable is not None
        assert 0 < effect.provable < effect.detectable < 0.2
    assert effects["test_whole"].difference == pytest.approx(-(effects["test_graded"].difference or 0))


def test_missing_scores_bound_graded_values_and_groups() -> None:
    rng = np.random.default_rng(1)
    before, after = judged(rng, 0.6, "a"), judged(rng, 0.5, "b", missing=0.2)
    effects = named(compare(before, after))
    for effect in effects.values():
        if effect.metric.startswith("test_"):
            assert effect.n < {"test_graded": 120, "test_whole": 30}[effect.metric]
            assert "unscored" in effect.flags
            assert effect.verdict == "not known"
            assert effect.worst_low is not None
            assert effect.low is not None
    worst = effects["test_graded"]
    assert worst.worst_high is not None
    assert worst.high is not None
    assert worst.worst_high > worst.high
    dead = named(compare(before, judged(rng, 0.1, "c", missing=1.0)))  # the judge was down
    assert {dead[name].verdict for name in ("test_graded", "test_whole")} == {"not known"}
    assert dead["test_graded"].difference is None


def test_flips_go_both_ways_and_are_drawn_by_the_seed() -> None:
    rng = np.random.default_rng(2)
    before, after = judged(rng, 0.5, "a"), judged(rng, 0.5, "b")
    fixed, broken = (flips(before, [after], ["test_graded"], fixed=way) for way in (True, False))
    effect = named(compare(before, after))["test_graded"]
    assert (len(fixed), len(broken)) == (effect.fixed, effect.broken)
    assert all((flip.after.value or 0) < (flip.before.value or 0) for flip in fixed)
    assert all((flip.after.value or 0) > (flip.before.value or 0) for flip in broken)
    drawn = [draw_flips(fixed, count=5, seed=seed, address="x").shown for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert draw_flips(fixed[:3], count=9, seed=0, address="x").shown == tuple(fixed[:3])
    first, second = (WHOLE.values(side.records) for side in (before, after))
    risen = {group for (group, _), value in first.items() if (second[group, 0] or 0) > (value or 0)}
    of_groups = flips(before, [after], ["test_whole"], fixed=True)
    assert {flip.before.group for flip in of_groups} == risen
    assert all(flip.before.value != flip.after.value for flip in of_groups)


def test_redaction_leaves_no_text() -> None:
    rng = np.random.default_rng(3)
    before, after = judged(rng, 0.5, "a"), judged(rng, 0.5, "b")
    flip = flips(before, [after], ["test_graded"], fixed=True)[0]
    odd = replace(flip, before=replace(flip.before, id="how do I", target="t", hinted="h", answer="level 1"))
    hidden = repr(redacted(odd))
    for text in ("secret", "reply", "how do I", "level", "'t'", "'h'"):
        assert text not in hidden
    assert hidden.count("SHA-256") >= 6


def test_arms_are_counted() -> None:
    counts = arm_counts(judged(np.random.default_rng(4), 0.5, "a", missing=0.5))
    assert counts["completions"] == 120
    assert set(counts["unscored"]) == {"no verdict"}
    assert counts["read"] == pytest.approx(1 - counts["unscored"]["no verdict"] / 120)
    assert counts["mean_tokens"] == 5


def test_to_json_is_plain_and_names_the_unit() -> None:
    rng = np.random.default_rng(5)
    made = make_comparison(
        [(judged(rng, 0.5, "a"), [judged(rng, 0.4, "b"), judged(rng, 0.4, "c")])], Plan(), as_seeds=True
    )
    value = to_json(made)
    assert value == json.loads(json.dumps(value))
    assert value["seeds"] == 2
    assert value["suites"][0]["unit"] == "fact"
    assert value["suites"][0]["after"] == ["b", "c"]
    assert len(value["suites"][0]["effects"][0]["by_seed"]) == 2
    with pytest.raises(ConfigError, match="no suite to compare"):
        make_comparison([], Plan())


def test_a_record_that_does_not_say_is_treated_as_sensitive() -> None:
    result = judged(np.random.default_rng(6), 0.5, "a")
    assert not result.sensitive
    old = {name: value for name, value in result.about.items() if name != "sensitive"}
    assert Result(old, result.records).sensitive


# ---- the command --------------------------------------------------------------------------------------------------


def write(folder: Path, reply: answering.Reply, plan: Plan | None = None) -> Path:
    asked = small(60)
    evaluate(Scripted(asked, reply, name=folder.name), asked, folder / asked.key, plan=plan)
    return folder


def swayed(share: int) -> answering.Reply:
    def reply(sample: Sample) -> str:
        number = sum(map(ord, sample.id)) % 10
        return answering.hinted(sample) if number < share else answering.right(sample)

    return reply


def test_the_command_writes_json_and_page_and_says_whose_verdict_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, one = write(tmp_path / "base", answering.hinted), write(tmp_path / "one", swayed(2))
    command(before, [one])
    out = capsys.readouterr().out
    assert "n_seeds = 1" in out
    assert "No plan was declared" in out
    assert (one / "compare" / "compare.html").exists()
    value = json.loads((one / "compare" / "compare.json").read_text(encoding="utf-8"))
    command(before, [one], out=tmp_path / "out", json=True)
    assert json.loads(capsys.readouterr().out) == value
    assert (tmp_path / "out" / "compare.html").read_bytes() == (one / "compare" / "compare.html").read_bytes()


def test_the_command_takes_several_seeds_a_replicate_and_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan({"accuracy_clean": 0.02}, (), "declared before the run")
    file = tmp_path / "plan.toml"
    file.write_text("[plan.margins]\naccuracy_clean = 0.02\n", encoding="utf-8")
    before, again = write(tmp_path / "base", answering.hinted), write(tmp_path / "again", swayed(9))
    seeds = [write(tmp_path / f"s{seed}", swayed(seed), plan) for seed in range(1, 4)]
    command(before, seeds, replicate=again, seeds=True, json=True)
    value = json.loads(capsys.readouterr().out)
    assert value["seeds"] == 3
    assert value["replicate"] == "again"
    assert value["plan"]["declared"] == "declared before the run"
    effects = {effect["metric"]: effect for effect in value["suites"][0]["effects"]}
    assert effects["hint_following"]["noise"] > 0
    assert effects["accuracy_clean"]["declared"] == "declared before the run"
    command(before, seeds[:1], plan=file, json=True)
    assert json.loads(capsys.readouterr().out)["plan"]["declared"] == "declared before the run"
    command(before, seeds[:1], margin=0.5, json=True)
    late = json.loads(capsys.readouterr().out)
    assert late["plan"]["declared"] == "declared after the run"
    assert "set aside" in late["departures"][0]
    command(before, seeds[:1], margin=0.5)
    assert "declared after the run" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="same model is given as two"):
        command(before, [seeds[0], seeds[0]], seeds=True)
    other = tmp_path / "other"
    evaluate(Scripted(small(5), answering.right), small(5), other / "elsewhere")
    with pytest.raises(ConfigError, match="none of the suites"):
        command(before, seeds[:1], replicate=other)


def test_length_and_thinking_of_an_arm_stand_on_its_line() -> None:
    samples = SAMPLES[:8]
    suite = Suite("test/thinks", 1, samples, ("test_graded",))
    long = "<think>" + "a" * 40 + "</think>" + "b" * 10
    made = [(long, "stop"), ("<think>a", "length"), ("b", "stop"), ("b", "stop")]
    records = {
        sample.id: make_record(sample, 0, Completion(text, finish, 10, 5), Score(0.0), None)  # type: ignore[arg-type]
        for sample, (text, finish) in zip(samples, made * 2, strict=True)
    }
    counts = arm_counts(Result(about(suite, "m", "m", "0"), {record.key: record for record in records.values()}))
    assert counts["thinking"]["completions"] == 4
    line = arm_line(counts)
    assert "10 tokens on average" in line
    assert "4 with thinking, " in line
    assert "of their text, 2 never closed it" in line
