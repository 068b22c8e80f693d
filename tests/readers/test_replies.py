"""Labelled replies of our own, one set a rule: what each rule makes of them, and its stated error."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from unswayed.evals.by_name import find, named, verdict
from unswayed.evals.scoring.measured import MEASURED

_SPEC = importlib.util.spec_from_file_location(
    "read_replies", Path(__file__).parents[2] / "scripts" / "read_replies.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
read_replies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(read_replies)

FOLDER = Path(__file__).parent / "replies"
RULES = ("number", "letter", "open", "math", "refusal", "warning")


def rows(rule: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{rule}.jsonl").read_text("utf-8").splitlines()]


def outcomes(rule: str) -> list[tuple[list[str], str, str]]:
    if rule == "math":
        pytest.importorskip("math_verify")
    _, score = find(rule)
    return [
        (row["accept"], verdict(row, rule, score, n)["outcome"], row["completion"]) for n, row in enumerate(rows(rule))
    ]


@pytest.mark.parametrize("rule", RULES)
def test_replies_are_read_as_a_careful_person_reads_them(rule: str) -> None:
    found = outcomes(rule)
    assert len(found) >= 200
    wrong = [(text, said) for accept, said, text in found if said not in accept and said != "unscored"]
    unread = [text for accept, said, text in found if said not in accept and said == "unscored"]
    assert len(wrong) <= 0.02 * len(found), wrong
    assert len(unread) <= 0.02 * len(found), unread


SECOND = {
    "number_second": 0.02, "letter_second": 0.04, "math_second": 0.0, "refusal_second": 0.08, "warning_second": 0.03,
    "warning_indirect": 0.18,
}  # fmt: skip
"""Later sets, and the share of each that may be read otherwise than labelled or not at all."""


@pytest.mark.parametrize("name", SECOND)
def test_later_sets_are_read_no_worse_than_they_were(name: str) -> None:
    if name.startswith("math"):
        pytest.importorskip("math_verify")
    replies, wrong, unread = read_replies.counts(FOLDER / f"{name}.jsonl")
    assert wrong + unread <= SECOND[name] * replies


def test_the_page_says_what_the_rules_make_of_the_sets() -> None:
    pytest.importorskip("math_verify")
    assert read_replies.table() in read_replies.PAGE.read_text("utf-8"), "run python scripts/read_replies.py"


@pytest.mark.parametrize("rule", RULES)
def test_a_reply_cut_off_in_thinking_is_unscored(rule: str) -> None:
    """Every rule leaves a reply unscored that was cut off in thinking, whatever it says there."""
    _, score = find(rule)
    row = {**rows(rule)[0], "prompt": "Say it.\n<think>\n", "finish": "length"}
    assert verdict(row, rule, score, 0)["outcome"] == "unscored"


def test_no_rule_is_worse_than_its_stated_error() -> None:
    """The error stated is that of a first reading; the rules have learned from it since."""
    for rule in ("open", "math", "warning"):
        full, _ = named()[rule]
        found = [(accept, said) for accept, said, _ in outcomes(rule)]
        right = [said for accept, said in found if accept == ["right"]]
        other = [said for accept, said in found if "right" not in accept and accept != ["unscored"]]
        stated = MEASURED[full]
        assert right.count("right") / max(1, len(right) - right.count("unscored")) >= stated.sensitivity
        assert 1 - other.count("right") / len(other) >= stated.specificity
        assert right.count("unscored") <= stated.unread * len(right)


def test_the_shipped_refusal_model_is_readable_numbers() -> None:
    shipped = files("unswayed.readers") / "refusals.json"
    model = json.loads(shipped.read_text("utf-8"))
    assert len(shipped.read_bytes()) < 60_000
    assert set(model) == {"fit", "features", "words"}
    assert all(isinstance(value, float | int) for part in model.values() for value in part.values())
    assert all(re.fullmatch(r"[a-z']+(?: [a-z']+)?", word) for word in model["words"])


def test_every_rule_with_an_error_exists() -> None:
    assert set(MEASURED) <= {full for full, _ in named().values()}
