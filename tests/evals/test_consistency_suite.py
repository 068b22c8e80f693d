"""Twins: the same question in another dress, answers compared by rule, and what a constant answerer looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from answering import Scripted, right

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Sample
from unswayed.data.build.framing import framing_pairs
from unswayed.data.read import write_pairs
from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Metric
from unswayed.evals.registry import suite
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.evals.suites.consistency import twins
from unswayed.perturb import framing
from unswayed.questions.items import fact_items

ITEMS = fact_items("capitals")[:12]


def rates(asked: Suite, reply: Any) -> Mapping[str, float | None]:
    return {name: rate.value for name, rate in evaluate(Scripted(asked, reply), asked).estimates.items()}


def first_letter(sample: Sample) -> str:
    """Says (A) to everything."""
    return "The best answer is: (A)."


def top_line(sample: Sample) -> str:
    """Takes the option that is listed first, whatever its letter."""
    found = re.search(r"^\((\w)\)", sample.messages[-1].content, re.M)
    assert found
    return f"The best answer is: ({found[1]})."


def test_every_framed_question_has_a_clean_twin() -> None:
    made = twins(items=ITEMS, framings_per_item=7)
    by_id = {sample.id: sample for sample in made.samples}
    assert {sample.meta.get("family") for sample in made.samples} - {None} == set(framing.FAMILIES)
    for sample in made.samples:
        if sample.condition == "clean":
            assert "twin" not in sample.meta
            continue
        twin = by_id[sample.meta["twin"]]
        assert (twin.condition, twin.group) == ("clean", sample.group)
        assert sample.messages != twin.messages
    json.dumps(made.identity())


@pytest.mark.parametrize("family", framing.FAMILIES)
def test_the_right_answer_is_right_and_the_same_under_every_framing(family: str) -> None:
    found = rates(twins(items=ITEMS, families=[family]), right)
    for name in ("twin_consistency", "accuracy_clean", "accuracy_framed", "parse_rate"):
        assert found[name] == 1.0
    assert found["framing_effect"] == 0.0
    assert found["length_match"] == 1.0
    assert (found["constant_answer"] or 0) < 0.7  # of four letters; a share of the questions, not of one of them


def test_a_constant_answerer_is_consistent_and_seen_to() -> None:
    found = rates(twins(items=ITEMS, families=["option_order"]), first_letter)
    assert found["twin_consistency"] == found["constant_answer"] == 1.0
    assert (found["accuracy_clean"] or 0) < 0.6
    moved = rates(twins(items=ITEMS, families=["option_letters"]), first_letter)
    assert moved["twin_consistency"] == 0.0
    assert moved["constant_answer"] == 1.0


def test_a_taste_for_the_first_line_is_inconsistent_where_lines_move() -> None:
    for family in ("option_order", "option_letters"):
        assert rates(twins(items=ITEMS, families=[family]), top_line)["twin_consistency"] == 0.0


def test_unread_answers_are_never_called_the_same() -> None:
    found = evaluate(Scripted(made := twins(items=ITEMS), lambda sample: ""), made).estimates
    assert found["twin_consistency"].value is None
    assert found["twin_consistency"].unscored == 12
    assert found["constant_answer"].value is None
    one = twins(items=ITEMS[:1])
    assert evaluate(Scripted(one, right), one).estimates["constant_answer"].value is None


def test_pairs_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, framing_pairs(ITEMS, per_item=3))
    made = suite(f"consistency/twins:{path}", 5)
    assert len({sample.group for sample in made.samples}) == 5
    assert sum(sample.condition == "framed" for sample in made.samples) == 15
    found = rates(made, right)
    assert found["twin_consistency"] == found["accuracy_framed"] == 1.0
    assert made.arguments.keys() == {"file_sha256", "limit"}


OPTIONS = "Which is red?\n(A) sky\n(B) blood\n(C) grass\nAnswer with one letter."


def test_a_files_letters_are_matched_by_text(tmp_path: Path) -> None:
    moved = "Hey! Which is red?\n(A) blood\n(B) grass\n(C) sky\nAnswer with one letter."
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"id": "1", "prompt": moved, "teacher_prompt": OPTIONS, "target": "B"}) + "\n")
    clean, framed = twins(file=path).samples
    assert (clean.target, framed.target) == (("B",), ("A",))
    assert framed.meta["letters"] == {"A": "B", "B": "C", "C": "A"}
    assert rates(twins(file=path), right)["twin_consistency"] == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Hey, who?", "teacher_prompt": "Who?"}, "no target"),
        ({"prompt": OPTIONS.replace("sky", "sea"), "teacher_prompt": OPTIONS, "target": "B"}, "the same options"),
    ],
)
def test_rows_that_cannot_be_compared_are_named(tmp_path: Path, row: dict[str, str], message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"id": "1", **row}) + "\n")
    with pytest.raises(DataError, match=message):
        twins(file=path)


@pytest.mark.parametrize(
    "options",
    [{"families": ["nothing"]}, {"phrasings": [9]}, {"topics": ["cheese"]}, {"framings_per_item": 0},
     {"file": "a.jsonl", "families": ["register"]}],
)  # fmt: skip
def test_wrong_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        twins(**options)


def test_a_metric_has_one_kind_of_value() -> None:
    with pytest.raises(ConfigError, match="only one"):
        Metric("x", 1, "higher", (), None, "")
    with pytest.raises(ConfigError, match="only one"):
        Metric("x", 1, "higher", (), lambda record, twin: 1.0, "", joint_value=lambda records: [1.0] * len(records))
    assert metric("constant_answer").joint_value is not None
