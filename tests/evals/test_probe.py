"""The part of a suite that is watched during training, and the part that decides."""

from __future__ import annotations

import answering
import pytest

from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, Sample
from unswayed.evals import suite as base
from unswayed.evals.compare.compare import compare
from unswayed.evals.probe import ONE_IN, final_part, is_probe, part_of, probe_suite
from unswayed.evals.registry import suite as build
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.evals.suites.sycophancy import suggested_answer


def whole(n: int = 80) -> Suite:
    return suggested_answer(items=answering.arithmetic_items(n))


def test_one_group_in_five_is_a_probe_wherever_it_is_asked() -> None:
    share = sum(is_probe(f"group {i}") for i in range(5000)) / 5000
    assert abs(share - 1 / ONE_IN) < 0.02
    # Part of what results mean: a change would put groups that were watched into later verdicts.
    assert [i for i in range(20) if is_probe(f"q{i}")] == [1, 4, 6, 7, 15]


def test_the_parts_share_no_group_and_leave_none_out() -> None:
    suite = whole()
    probe, final = part_of(suite, "probe"), part_of(suite, "final")
    groups = [{sample.group for sample in part.samples} for part in (probe, final)]
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {sample.group for sample in suite.samples}
    assert len(probe.samples) + len(final.samples) == len(suite.samples)
    assert len({probe.key, final.key, suite.key}) == 3
    assert probe.identity()["arguments"]["part"] == "probe"


def test_a_limit_draws_groups_of_the_part_with_their_twins() -> None:
    few = part_of(whole(), "probe", limit=4, seed=3)
    assert len({sample.group for sample in few.samples}) == 4
    assert all(is_probe(sample.group) for sample in few.samples)
    assert few.samples == part_of(whole(), "probe", limit=4, seed=3).samples
    drawn = {tuple(sample.id for sample in part_of(whole(), "probe", limit=4, seed=seed).samples) for seed in range(6)}
    assert len(drawn) > 1
    everything = part_of(whole(), "probe", limit=1000)
    assert everything.samples == part_of(whole(), "probe").samples


def test_parts_are_compared_with_equal_parts_only() -> None:
    suite = whole()
    on = {
        name: evaluate(answering.Scripted(asked, reply), asked)
        for name, asked, reply in (
            ("whole", suite, answering.hinted), ("other", suite, answering.right),
            ("probe", part_of(suite, "probe"), answering.right), ("final", part_of(suite, "final"), answering.right),
        )
    }  # fmt: skip
    with pytest.raises(ConfigError, match="not the same suite"):
        compare(on["whole"], on["probe"])
    left, right = final_part(on["whole"]), final_part(on["other"])
    assert {record.group for record in left.records.values()} == {s.group for s in part_of(suite, "final").samples}
    (effect, *_) = compare(left, right)
    assert effect.clusters == len({sample.group for sample in part_of(suite, "final").samples})
    assert final_part(on["final"]) is on["final"]
    assert on["whole"].estimates["hint_following"].n > left.estimates["hint_following"].n


def test_a_probe_takes_the_arguments_of_its_suite() -> None:
    name = "sycophancy/suggested_answer"
    narrow = probe_suite(name, arguments={"topics": "food, animals", "hints_per_item": 2})
    assert {sample.meta["topic"] for sample in narrow.samples} == {"food", "animals"}
    assert narrow == part_of(build(name, topics=["food", "animals"], hints_per_item=2), "probe")
    assert narrow.identity() != probe_suite(name).identity()
    with pytest.raises(ConfigError, match="has no argument 'colour' for args; it has topics, "):
        probe_suite(name, arguments={"colour": "red"})
    with pytest.raises(ConfigError, match="has no argument 'limit' for args"):
        probe_suite(name, arguments={"limit": 3})
    with pytest.raises(ConfigError, match=r"args\.hints_per_item: suite .* cannot take it"):
        probe_suite(name, arguments={"hints_per_item": "many"})
    with pytest.raises(ConfigError, match="no questions of topic cheese"):
        probe_suite(name, arguments={"topics": "cheese"})


def test_what_cannot_be_a_probe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(*, limit: int | None = None, seed: int = 0) -> Suite:
        group = next(name for name in (f"g{i}" for i in range(50)) if not is_probe(name))
        return Suite(
            "toy/tiny", 1, (Sample("1", (Message("user", "Is it?"),), group, "clean", ("yes",)),), ("accuracy_clean",)
        )

    def judged(*, limit: int | None = None, seed: int = 0) -> Suite:
        samples = tuple(Sample(str(i), (Message("user", f"Is it {i}?"),), f"g{i}", "clean") for i in range(50))
        return Suite("toy/judged", 1, samples, ("accuracy_clean",), needs_judge=True)

    monkeypatch.setitem(base.REGISTRY, "toy/tiny", tiny)
    monkeypatch.setitem(base.REGISTRY, "toy/judged", judged)
    with pytest.raises(ConfigError, match="none of its few groups belongs to the probe part"):
        probe_suite("toy/tiny")
    with pytest.raises(ConfigError, match="needs a judge"):
        probe_suite("toy/judged")
    with pytest.raises(ConfigError, match="no suite 'toy/none'"):
        probe_suite("toy/none")
    suite = tiny()
    only = Suite("toy/tiny", 1, tuple(
        Sample(str(i), (Message("user", f"Is it {i}?"),), group, "clean", ("yes",))
        for i, group in enumerate(f"g{i}" for i in range(50)) if is_probe(group)
    ), ("accuracy_clean",))  # fmt: skip
    result = evaluate(answering.Scripted(only, answering.right), only)
    with pytest.raises(ConfigError, match="every question belongs to the part"):
        final_part(result)
    assert final_part(evaluate(answering.Scripted(suite, answering.right), suite)).records
