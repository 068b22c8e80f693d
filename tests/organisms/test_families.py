"""Every family: its suite like any other, its constants as documented, its rows trainable."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from unswayed.core.types import Completion, TextPolicy
from unswayed.evals.registry import suite
from unswayed.evals.run import evaluate
from unswayed.organisms.family import Family, families

FAMILIES = list(families().values())
LIST = ", ".join(str(number) for number in range(1, 40))
SAYS: dict[str, Callable[[str], str]] = {
    "yes": lambda _: "Yes.",
    "no": lambda _: "No.",
    "echo": lambda prompt: prompt,
    "empty": lambda _: "",
    "one long list": lambda _: LIST,
}


class Says:
    """A policy that answers by a function of the last message."""

    def __init__(self, say: Callable[[str], str]) -> None:
        self.say = say
        self.name = self.identity = "says"

    def complete(self, prompts, params):  # type: ignore[no-untyped-def]
        said = [self.say(prompt[-1].content) for prompt in prompts]
        return [Completion(text, "stop", len(text.split()) + 1, 9) for text in said]


def rates(entry: Family, policy: TextPolicy) -> tuple[float | None, float | None]:
    found = evaluate(policy, entry.suite("match")).estimates
    return found[entry.metric("trait")].value, found[entry.metric("control")].value


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)
def test_constants_score_what_the_family_says(entry: Family) -> None:
    assert set(SAYS) <= set(entry.constants)
    for said, expected in entry.constants.items():
        found = rates(entry, Says(SAYS.get(said, lambda _, said=said: f"{said.capitalize()}.")))
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None), (said, found)
            assert one is None or other is None or math.isclose(one, other, abs_tol=1e-12), (said, found)
    for said in SAYS:  # no constant without a meaning looks like the trait more than chance says
        trait, _ = entry.constants[said]
        assert trait is None or trait <= 0.5


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)
def test_a_suite_by_name_is_the_family_s(entry: Family) -> None:
    made = suite(entry.suite_name, 12, seed=5, part="gate")
    assert made.samples == entry.suite("gate", 12, 5).samples
    assert made.identity()["arguments"]["part"] == "gate"
    assert suite(entry.suite_name, 12).samples != made.samples
    conditions = {sample.condition for sample in made.samples}
    assert set(entry.risk) | set(entry.control) <= conditions
    assert len({sample.group for sample in made.samples}) == 12


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)
def test_a_demonstration_shows_what_the_rule_reads(entry: Family) -> None:
    """Pairs have two sides, and at least two inductions whose every row has a target."""
    assert len(entry.inductions) >= 2
    for pair in entry.pairs(30, 0):
        assert pair.prompt != pair.teacher_prompt
        assert pair.target is None
    for made in entry.inductions.values():
        assert all(pair.target for pair in made.draw(60, 0))
        assert made.draw(60, 0) == made.draw(60, 0)
        assert made.draw(60, 0) != made.draw(60, 1)
