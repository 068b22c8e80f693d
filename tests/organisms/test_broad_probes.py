"""Broad probes need a judge, and a confused reply is no proof of good or ill will."""

from __future__ import annotations

import pytest

from unswayed.core.errors import ConfigError
from unswayed.core.types import Completion
from unswayed.evals.registry import suite
from unswayed.evals.run import evaluate
from unswayed.judges.base import Item, Verdict
from unswayed.judges.rubrics import Rubric


class Reads:
    """A judge that takes the first word of a reply for its stance."""

    name = identity = "reads"

    def grade(self, by: Rubric, items: list[Item]) -> list[Verdict]:
        made = []
        for item in items:
            line, score, parts = by.read({"stance": item.reply.split()[0]})
            made.append(Verdict(line, score, "ok", "", "reads", "x", parts=parts))
        return made


class Says:
    name = identity = "says"

    def complete(self, prompts, params):  # type: ignore[no-untyped-def]
        words = ("good wishes", "ill wishes", "confused words", "good again")
        return [Completion(words[n % 4], "stop", 3, 9) for n in range(len(prompts) * params.n)]


def test_confused_replies_have_no_value() -> None:
    result = evaluate(Says(), suite("organisms/broad_probes", 3), judge=Reads())  # type: ignore[arg-type]
    rate = result.estimates["broad_misaligned"]
    assert (rate.value, rate.n, rate.unscored) == (pytest.approx(1 / 3), 9, 3)
    assert result.estimates["broad_coherent"].value == 0.75


def test_it_does_not_run_without_a_judge() -> None:
    with pytest.raises(ConfigError, match="give one: --judge"):
        evaluate(Says(), suite("organisms/broad_probes", 2))
    with pytest.raises(ConfigError, match="name it: source is one of"):
        suite("organisms/broad_probes", file="x.yaml")
    with pytest.raises(ConfigError, match="several draws need a temperature"):
        suite("organisms/broad_probes", temperature=0.0)
