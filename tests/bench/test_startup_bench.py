"""The bench of a start: parts are exclusive and whole, pairs differ, and the second start tokenises none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from bench.start.chart import GROUPS
from bench.start.child import PARTS, Clock
from bench.start.pairs import ITEMS, write
from bench.startup import main

from unswayed.data.read import read_pairs


def test_what_runs_inside_a_part_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100, 200, 10))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    clock = Clock(97.0)
    owner = SimpleNamespace(inner=lambda: 1, outer=lambda: owner.inner() + 1)
    clock.wrap(owner, "inner", "tokenise")
    clock.wrap(owner, "outer", "weights")
    assert owner.outer() == 2
    spent = {part: seconds for part, seconds in clock.parts.items() if seconds}
    assert spent == {"python": 3.0, "other": 10.0, "weights": 20.0, "tokenise": 10.0}


def test_the_drawing_has_every_part() -> None:
    drawn = [part for parts in GROUPS.values() for part in parts]
    assert sorted(drawn) == sorted((*PARTS, "other"))


def test_pairs_are_as_many_as_asked_for_and_differ(tmp_path: Path) -> None:
    write(tmp_path / "pairs.jsonl", 2 * ITEMS + 1)
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert len(pairs) == len({pair.prompt for pair in pairs}) == len({pair.id for pair in pairs}) == 2 * ITEMS + 1
    assert all(pair.prompt != pair.teacher_prompt for pair in pairs)


@pytest.mark.slow
def test_the_second_start_tokenises_nothing(
    tmp_path: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(tiny_model_dir), "--pairs", "1500", "--rounds", "1", "--threads", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "startup.json").read_text(encoding="utf-8"))
    starts = {name: start["parts"] for name, start in result["starts"].items()}
    for parts in starts.values():
        assert sum(parts[name] for name in (*PARTS, "other")) == pytest.approx(parts["total"], abs=0.05)
        assert all(parts[name] > 0 for name in ("torch", "read", "tokenise", "weights", "first sample", "first step"))
    assert starts["again"]["tokenise"] < starts["many"]["tokenise"] / 5
    assert "1,500 pairs, again" in capsys.readouterr().out
    ElementTree.fromstring((tmp_path / "startup.svg").read_text(encoding="utf-8"))


def test_a_start_that_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err
