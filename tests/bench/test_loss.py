"""`bench.loss` on small sizes: what it writes follows from what it measured."""

from __future__ import annotations

import importlib.util
import json
import statistics
from pathlib import Path

import pytest
from bench.kl.work import TITLES

from bench import loss


@pytest.mark.slow
@pytest.mark.usefixtures("in_threads")
def test_what_it_writes_follows_from_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--tokens", "16", "--vocab", "2000", "--width", "8", "--rounds", "2", "--threads", "1"]
    assert loss.main([*sizes, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "loss.json").read_text(encoding="utf-8"))
    there = importlib.util.find_spec("trl") is not None
    assert set(result["arms"]) == {name for name in TITLES if there or name != "trl"}
    for name, found in result["arms"].items():
        assert found["seconds"] == statistics.median(found["rounds"])
        assert len(found["rounds"]) == 2
        flops = 3 * 2 * 16 * 2000 * 8
        assert result["floor"][name]["flops"] == flops
        assert result["floor"][name]["seconds"] >= flops / result["probe"]["flops_per_second"] * (1 - 1e-9)
        assert result["check"]["arms"][name]["gradient_difference"] < 1e-4
        assert result["check"]["arms"][name]["value"] > 1e-4, "sides must differ, or agreement says nothing"
    printed = capsys.readouterr().out
    for name, entry in result["ratios"].items():
        ours, other = result["arms"]["unswayed"], result["arms"][name]
        assert entry["seconds"] == ours["seconds"] / other["seconds"]
        assert f"{entry['seconds']:.2f} of the time (rounds" in printed
