"""Items: fit to hang hints on, unique, and the same under every seed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.overlap import words
from unswayed.questions.items import (
    ARITHMETIC_TOPICS,
    FACT_TOPICS,
    HELD_OUT_TOPICS,
    Item,
    arithmetic_items,
    fact_items,
    item_problems,
    read_items,
)

FACTS = fact_items()
SUMS = arithmetic_items()
SIGNS = {"addition": "+", "subtraction": "-", "multiplication": "times"}


@pytest.mark.parametrize("items", [FACTS, SUMS], ids=["facts", "arithmetic"])
def test_every_item_is_fit(items: list[Item]) -> None:
    assert {item.id: found for item in items if (found := item_problems(item))} == {}
    assert all(len(item.wrong) == 3 and item.accepted[0] == item.answer for item in items)
    assert all(item.question.endswith("?") for item in items)


def test_no_question_and_no_id_occurs_twice() -> None:
    every = [*FACTS, *SUMS]
    assert len({item.id for item in every}) == len(every)
    assert [question for question, count in Counter(words(item.question) for item in every).items() if count > 1] == []


def test_topics_and_counts() -> None:
    counts = Counter(item.topic for item in FACTS)
    assert set(counts) == set(FACT_TOPICS)
    assert len(FACTS) >= 490
    assert min(counts.values()) >= 30
    assert Counter(item.topic for item in SUMS) == {"addition": 77, "subtraction": 58, "multiplication": 66}
    assert set(HELD_OUT_TOPICS) < {*FACT_TOPICS, *ARITHMETIC_TOPICS}


def test_facts_by_topic() -> None:
    assert {item.topic for item in fact_items("food")} == {"food"}
    both = fact_items(["food", "body"])
    assert len(both) == len(fact_items("food")) + len(fact_items("body"))
    with pytest.raises(ConfigError, match="unknown fact topic cars"):
        fact_items("cars")


def test_numbers_are_accepted_in_words() -> None:
    (legs,) = [item for item in FACTS if item.question == "How many legs does a spider have?"]
    assert legs.accepted == ("8", "eight")
    assert legs.is_right(" Eight ")
    assert not legs.is_right("6")


def test_arithmetic_is_right_and_its_slips_are_wrong() -> None:
    for item in SUMS:
        topic, first, second = item.id.split("-")
        a, b = int(first), int(second)
        result = {"addition": a + b, "subtraction": a - b, "multiplication": a * b}[topic]
        assert item.answer == str(result)
        assert str(result) not in item.wrong
        assert all(int(answer) > 0 for answer in item.wrong)
        assert item.question == f"What is {a} {SIGNS[topic]} {b}?"


def test_fewer_items_are_the_first_of_more_and_topics_take_turns() -> None:
    assert arithmetic_items(30, 7) == arithmetic_items(100, 7)[:30]
    assert [item.topic for item in arithmetic_items(6, 7)] == [*ARITHMETIC_TOPICS] * 2
    assert arithmetic_items(30, 7) != arithmetic_items(30, 8)


def test_an_item_is_the_same_under_every_seed() -> None:
    assert sorted(arithmetic_items(seed=1), key=lambda item: item.id) == sorted(SUMS, key=lambda item: item.id)


@pytest.mark.parametrize(
    ("n", "topics"), [(-1, ARITHMETIC_TOPICS), (202, ARITHMETIC_TOPICS), (78, ["addition"]), (1, ["roots"])]
)
def test_more_than_there_are(n: int, topics: list[str]) -> None:
    with pytest.raises(ConfigError):
        arithmetic_items(n, topics=topics)


GOOD = {"id": "a", "topic": "t", "question": "Q?", "answer": "5", "wrong": ["6"]}


def test_own_items_are_read(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({**GOOD, "accepted": ["V"]}) + "\n")
    assert read_items(path) == [Item("a", "t", "Q?", "5", ("6",), ("5", "five", "V"))]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wrong": ["five"]}, "wrong: 'five' cannot be told from the right answer 'five'"),
        ({"wrong": ["at 5 sharp"]}, "cannot be told from"),
        ({"answer": "New York", "wrong": ["york"]}, "cannot be told from"),
        ({"wrong": ["6", "6"]}, "the same answer twice"),
        ({"wrong": []}, "must not be empty"),
        ({"question": "Is it 5?"}, "question: contains the answer '5'"),
        ({"question": "Is it six?"}, "question: contains the answer 'six'"),
        ({"answer": 5}, "answer: a number, where a string belongs"),
        ({"wrong": "6"}, "wrong: a string, where a list of strings belongs"),
        ({"wrongs": []}, "wrongs: unknown"),
        ({"id": " "}, "must not be empty"),
    ],
)
def test_unfit_items_are_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({**GOOD, "id": "z"}) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(DataError) as error:
        read_items(path)
    assert all(problem.startswith(f"{path}:2: ") for problem in error.value.problems)
    assert reason in str(error.value)


def test_item_files_without_items_or_with_an_id_twice(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="no items"):
        read_items(path)
    path.write_text((json.dumps(GOOD) + "\n") * 2)
    with pytest.raises(DataError, match="'a' occurs before"):
        read_items(path)
    path.write_text(json.dumps({"id": "a"}))
    with pytest.raises(DataError, match="question: missing"):
        read_items(path)
