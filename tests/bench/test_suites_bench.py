"""`bench.suites`: what is asked, that a kill is a kill, and that a sample lost or asked twice is found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import suites
from unswayed.evals.results import EVAL, RECORDS, RESULTS

# Writes eval.json, then a record each tenth of a second, and results.json at the end; goes on where it was stopped.
WRITER = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1]) / "one"
folder.mkdir(parents=True, exist_ok=True)
(folder / "eval.json").write_text("{}")
path = folder / "records.jsonl"
done = path.read_text().count("\\n") if path.exists() else 0
for number in range(done, 12):
    time.sleep(0.1)
    with path.open("a") as file:
        file.write(json.dumps({"id": str(number), "draw": 0}) + "\\n")
(folder / "results.json").write_text("{}")
"""


def made(samples: int = 12) -> Any:
    return SimpleNamespace(
        key="one", samples=[SimpleNamespace(id=str(n)) for n in range(samples)], params=SimpleNamespace(n=1)
    )


def test_asks_every_suite_whose_rows_anybody_may_have() -> None:
    names = suites.open_suites()
    assert len(set(names)) == len(names)
    assert {name.partition(":")[0] for name in names} == set(suites.suites()) - {
        "capability/gpqa", "capability/gpqa_choose", "safety_awareness/sage", "safety_awareness/safe_sage",
        "jailbreak/pairs", "sycophancy/pairs",
    }  # fmt: skip


def test_a_killed_command_ends_with_the_same_files(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    folders = whole, broken = tmp_path / "whole", tmp_path / "killed"
    assert not suites.run([[sys.executable, str(script), str(whole)]], whole)
    kills = suites.run_killed([[sys.executable, str(script), str(broken)]], broken, 12, 1)
    assert len(kills) == 1
    assert 6 <= kills[0]["records"] < 12
    assert kills[0]["finished_suites"] == 0
    assert suites.differing(*folders) == []
    assert all(suites.asked_once(folder, made()) for folder in folders)


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(suites.subprocess.CalledProcessError):
        suites.run([[sys.executable, "-c", "raise SystemExit(3)"]], tmp_path)


def test_only_what_would_write_more_gets_the_limit(tmp_path: Path) -> None:
    built = suites.build(["jailbreak/builtin", "sycophancy/are_you_sure"], 1, 50)
    assert [each.params.max_new_tokens for each in built.values()] == [50, 48]
    asked = suites.commands("MODEL", built, 1, tmp_path)
    assert sorted((command[4:6], command[-2:] == ["-T", "max_new_tokens=50"]) for command in asked) == [
        (["MODEL", "jailbreak/builtin"], True), (["MODEL", "sycophancy/are_you_sure"], False),
    ]  # fmt: skip
    assert len(suites.commands("MODEL", suites.build(list(built), 1, None), 1, tmp_path)) == 1


@pytest.mark.parametrize("lines", [["0", "1"], ["0", "1", "2", "2"], ["0", "1", "3"]])
def test_a_sample_that_is_not_there_once_is_found(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / RECORDS).write_text("".join(json.dumps({"id": one, "draw": 0}) + "\n" for one in lines))
    assert not suites.asked_once(tmp_path, made(3))


def test_files_that_differ_or_are_missing_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "one").mkdir(parents=True)
        (tmp_path / name / "one" / EVAL).write_text("{}")
        (tmp_path / name / "one" / "results.html").write_text(name)
    (tmp_path / "a" / "one" / RECORDS).write_text("1\n")
    (tmp_path / "b" / "one" / RECORDS).write_text("2\n")
    (tmp_path / "b" / "one" / RESULTS).write_text("{}")
    assert suites.differing(tmp_path / "a", tmp_path / "b") == [f"one/{RECORDS}", f"one/{RESULTS}"]


def test_the_table_counts_what_was_scored() -> None:
    row = {
        "suite": "capability/gsm8k", "sources": [{"source": "capability/gsm8k"}], "clusters": 4, "completions": 4,
        "unscored": {"truncated": 1}, "cut_off": 2, "tokens": 1234, "seconds": 9.6,
    }  # fmt: skip
    table = suites.markdown({"suites": [row, {**row, "sources": [], "unscored": {}}]}).splitlines()
    assert table[2] == "| `capability/gsm8k` | capability/gsm8k | 4 | 4 | 3 | 1 truncated | 2 | 1,234 | 10 |"
    assert table[3].startswith("| `capability/gsm8k` | ours | 4 | 4 | 4 | 0 |")
