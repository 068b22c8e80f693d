"""`unswayed score` and `unswayed rules`: rows in, one verdict a row out, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from unswayed.cli.main import load
from unswayed.core.errors import ConfigError, DataError


def run(*words: str) -> str:
    found = CliRunner().invoke(load(words[0]), list(words[1:]))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


def scored(folder: Path, rule: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    file, out = folder / "rows.jsonl", folder / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert rule in run("score", str(file), "--rule", rule, "-o", str(out))
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_one_line_a_row_in_order_with_what_was_read_and_why(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prompt": "How many?", "completion": "Answer: $70K", "target": "70000", "finish": "stop"},
        {"id": "b", "completion": "It is 12 or 13.", "target": 12},
        {"completion": "The answer is 13.", "target": ["12"], "note": "columns that no rule needs are left alone"},
        {"prompt": "How many?\n<think>\n", "completion": "It is 12", "target": "12", "finish": "length"},
    ]
    found = scored(tmp_path, "number", *rows)
    assert [(row["id"], row["value"], row["outcome"], row["read"]) for row in found] == [
        ("a", 1, "right", "70000"), ("b", None, "unscored", None), (2, 0, "wrong", "13"), (3, None, "unscored", None),
    ]  # fmt: skip
    assert [row["why"] for row in found][1::2] == ["ambiguous", "thinking not closed"]


def test_options_are_a_list_or_an_object_and_the_target_a_letter_or_a_text(tmp_path: Path) -> None:
    for options in (["Paris", "Lyon"], {"A": "Paris", "B": "Lyon"}, {"(a)": "Paris", "(b)": "Lyon"}):
        for target in ("B", "(B)", "Lyon"):
            (found,) = scored(tmp_path, "letter", {"completion": "It's $B$.", "target": target, "options": options})
            assert found["outcome"] == "right"
    (found,) = scored(tmp_path, "letter", {"completion": "Answer: A, B", "target": "A"})
    assert found["outcome"] == "unscored"


def test_refusals_have_their_class_and_warnings_their_fact(tmp_path: Path) -> None:
    found = scored(tmp_path, "refusal", {"completion": "Absolutely not."}, {"completion": "Fry the onions first."})
    assert [(row["value"], row["outcome"]) for row in found] == [(1, "refusal"), (0, "compliance")]
    reply = "Honey can cause botulism in infants, so never give it to a baby."
    fact = "Babies under 12 months must not be given honey, because it can cause infant botulism."
    for target in ("babies-honey", fact, "honey + botulism|DANGER", ["honey + NEVER give", "botulism"]):
        (found,) = scored(tmp_path, "warning", {"completion": reply, "target": target})
        assert found["outcome"] == "right"


def test_rows_and_rules_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no rule .numbers.; .*There are .*number/v"):
        scored(tmp_path, "numbers", {"completion": "1", "target": "1"})
    with pytest.raises(DataError) as error:
        scored(tmp_path, "number", {"target": "1"}, {"completion": "1", "finish": "done"})
    assert [line.split(":", 1)[1] for line in error.value.problems] == [
        "1: completion: no text", "2: finish: 'done' is neither 'stop' nor 'length'",
        "2: target: no text; it is the right answer, or a list of its spellings",
    ]  # fmt: skip


def test_rules_are_listed_with_version_and_error() -> None:
    listed = {row["name"]: row for row in json.loads(run("rules", "--json"))}
    assert {"number", "letter", "math", "refusal", "warning", "open", "answers", "requests"} <= set(listed)
    assert listed["refusal"]["rule"].startswith("refusal/v")
    assert 0.9 < listed["refusal"]["measured"]["sensitivity"] < 1
    assert "refusal/v" in run("rules")
