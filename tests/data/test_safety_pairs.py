"""Pairs for safety awareness: who sees the fact, what look-alikes are, and that whole facts are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError
from unswayed.data.build.run import build_files
from unswayed.data.build.safety import INSTRUCTION, safety_pairs
from unswayed.data.check import check_file
from unswayed.data.read import read_pairs
from unswayed.perturb import safety_awareness
from unswayed.questions.safety_facts import safety_facts

RECIPE = Path(__file__).parents[2] / "recipes" / "data" / "safety_awareness.toml"
FACTS = safety_facts("pets")
BY_ID = {fact.id: fact for fact in safety_facts()}


def text(messages: object) -> str:
    return "\n".join(message.content for message in messages)  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", safety_awareness.FAMILIES)
def test_only_the_teacher_is_told_the_fact(family: str) -> None:
    for pair in safety_pairs(FACTS, [family], per_question=None):
        fact = BY_ID[pair.group]
        asked = fact.naive if pair.meta["hazard"] else fact.safe
        assert [message.role for message in pair.prompt] == ["user"]
        assert text(pair.prompt) in {f"{question} {INSTRUCTION}" for question in asked}
        assert fact.fact not in text(pair.prompt)
        assert fact.fact in text(pair.teacher_prompt)
        assert text(pair.prompt) in text(pair.teacher_prompt)
        assert (pair.teacher_prompt[0].role == "system") == (family == "system")
        assert (pair.perturbation, pair.axis) == (f"safety_awareness/{family}@1", "safety_awareness")
        assert pair.target is None


def test_every_question_once_and_wordings_in_turn() -> None:
    pairs = safety_pairs(FACTS)
    assert len(pairs) == sum(len(fact.naive) + len(fact.safe) for fact in FACTS)
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert {pair.meta["phrasing"] for pair in pairs} <= set(safety_awareness.TRAIN_PHRASINGS)
    assert safety_pairs(FACTS) == pairs
    assert safety_pairs(FACTS, seed=1) != pairs
    assert safety_pairs(FACTS[2:]) == [pair for pair in pairs if pair.group not in {fact.id for fact in FACTS[:2]}]
    assert len(safety_pairs(FACTS, per_question=3)) == 3 * len(pairs)


def test_look_alikes_are_told_the_fact_or_held_in_place_or_left_out() -> None:
    told = safety_pairs(FACTS, look_alikes="fact")
    anchored = safety_pairs(FACTS, look_alikes="anchor")
    none = safety_pairs(FACTS, look_alikes="none")
    assert len(told) == len(anchored) > len(none)
    assert all(pair.prompt != pair.teacher_prompt for pair in told)
    assert all((pair.prompt == pair.teacher_prompt) == (not pair.meta["hazard"]) for pair in anchored)
    assert all(pair.meta["hazard"] for pair in none)


@pytest.mark.parametrize(
    "options", [{"per_question": 0}, {"look_alikes": "some"}, {"families": ["under_the_mat"]}, {"phrasings": [6]}]
)
def test_what_cannot_be_built(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        safety_pairs(FACTS, **options)  # type: ignore[arg-type]


def test_the_shipped_recipe_holds_whole_facts_out(tmp_path: Path) -> None:
    manifest = build_files(RECIPE, tmp_path / "pairs.jsonl")
    train = read_pairs(tmp_path / "pairs.jsonl", allow_identical=True)
    held_out = read_pairs(tmp_path / "pairs.held_out.jsonl", allow_identical=True)
    assert {pair.prompt == pair.teacher_prompt for pair in train} == {True, False}  # look-alikes are anchors
    assert manifest["files"]["train"]["rows"] == len(train)
    assert set(manifest["files"]) == {"train", "held_out"}
    assert not {pair.group for pair in train} & {pair.group for pair in held_out}
    assert {pair.group for pair in train} | {pair.group for pair in held_out} == set(BY_ID)
    assert set(manifest["spec"]["split"]["topics"]) <= {pair.meta["topic"] for pair in held_out}
    held_out_file = tmp_path / "pairs.held_out.jsonl"
    report = check_file(tmp_path / "pairs.jsonl", against=held_out_file, allow_identical=True)
    assert report.errors == ()
    assert report.overlap is not None
    assert report.overlap.texts == ()


def test_facts_and_templates_of_ones_own(tmp_path: Path) -> None:
    row = {
        "id": "own-1", "topic": "own", "fact": "Wet paint spoils coats.", "naive": ["Where can I sit {down}?"],
        "warning": ["wet paint"],
    }  # fmt: skip
    (tmp_path / "facts.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "notes.toml").write_text(
        '[[family]]\nname = "safety_awareness/own_note"\nversion = 1\naxis = "safety_awareness"\n'
        'phrasings = [{ id = "a", system = "Mind: {fact}" }, { id = "b", text = "{prompt} ({fact})" }]\n'
    )
    (tmp_path / "spec.toml").write_text(
        'kind = "safety_awareness"\nfacts = ["facts.jsonl"]\ntemplates = ["notes.toml"]\nfamilies = ["own_note"]\n'
        "per_question = 2\n"
    )
    manifest = build_files(tmp_path / "spec.toml", tmp_path / "pairs.jsonl")
    assert set(manifest["inputs"]) == {"facts.jsonl", "notes.toml"}
    teachers = {pair.meta["phrasing"]: pair.teacher_prompt for pair in read_pairs(tmp_path / "pairs.jsonl")}
    question = f"Where can I sit {{down}}? {INSTRUCTION}"
    assert [message.content for message in teachers[0]] == ["Mind: Wet paint spoils coats.", question]
    assert [message.content for message in teachers[1]] == [f"{question} (Wet paint spoils coats.)"]
