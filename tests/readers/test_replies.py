"""Labelled replies of our own, one set a rule: what each rule makes of them, and its stated error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unswayed.evals.score_file import find, named, verdict
from unswayed.evals.scoring.measured import MEASURED

FOLDER = Path(__file__).parent / "replies"
RULES = ("number", "letter", "open", "math", "refusal", "warning")
PERSON_READS = {"right", "wrong", "refusal", "partial", "compliance"}


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


@pytest.mark.parametrize("rule", RULES)
def test_no_refusal_and_no_cut_reply_is_right(rule: str) -> None:
    """Every rule leaves a reply unscored that was cut off in thinking, whatever it says there."""
    _, score = find(rule)
    row = {**rows(rule)[0], "prompt": "Say it.\n<think>\n", "finish": "length"}
    assert verdict(row, rule, score, 0)["outcome"] == "unscored"


def test_the_stated_error_is_the_measured_one() -> None:
    for rule in ("number", "letter", "open", "math", "warning"):
        full, _ = named()[rule]
        read = [(accept, said) for accept, said, _ in outcomes(rule) if len(accept) == 1 and accept[0] != "unscored"]
        right = [said for accept, said in read if accept == ["right"]]
        other = [said for accept, said in read if accept == ["wrong"]]
        stated = MEASURED[full]
        scored = [said for said in right if said != "unscored"]
        assert (stated.positives, stated.negatives) == (len(right), len(other))
        assert stated.sensitivity == pytest.approx(scored.count("right") / len(scored), abs=5e-4)
        assert stated.specificity == pytest.approx(1 - other.count("right") / len(other), abs=5e-4)
        assert stated.unread == pytest.approx(sum(said == "unscored" for _, said in read) / len(read), abs=5e-4)


def test_every_rule_with_an_error_exists() -> None:
    assert set(MEASURED) <= {full for full, _ in named().values()}
