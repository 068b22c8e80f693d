"""The bench of the loss, end to end on small sizes: what it writes follows from what it measured."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from bench.kl.summary import check_summary, ratios
from bench.kl.work import OURS, OURS_TRAINED, TITLES, TRL, TRL_TRAINED

from unswayed.core.errors import UnswayedError

ROOT = Path(__file__).resolve().parents[2]


def arm(*rounds: float, above: int = 100) -> dict[str, Any]:
    return {"rounds": list(rounds), "seconds": statistics.median(rounds), "peak_above_ready": above}


def test_each_arm_is_compared_with_ours_of_the_same_kind() -> None:
    arms = {OURS: arm(1, 2, 3), TRL: arm(4, 4, 4, above=400), OURS_TRAINED: arm(3, 3, 3), TRL_TRAINED: arm(2, 3, 4)}
    found = ratios(arms)
    assert set(found) == {TRL, TRL_TRAINED}
    assert found[TRL] == {"ours": OURS, "seconds": 0.5, "lowest": 0.25, "highest": 0.75, "peak_above_ready": 0.25}
    assert found[TRL_TRAINED]["ours"] == OURS_TRAINED
    assert (found[TRL_TRAINED]["lowest"], found[TRL_TRAINED]["highest"]) == (0.75, 1.5)


@pytest.mark.parametrize("wrong", [1.1, float("nan")])
def test_arms_that_compute_something_else_get_no_time(wrong: float) -> None:
    mine = {"value": 1.0, "gradient": np.array([3.0, 4.0])}
    close = check_summary({OURS: mine, TRL: {**mine, "gradient": np.array([3.0, 4.005])}}, "float32")
    assert close["arms"][TRL]["gradient_difference"] == pytest.approx(1e-3)
    for other in ({**mine, "value": wrong}, {**mine, "gradient": np.array([3.0, 4.0 * wrong])}):
        with pytest.raises(UnswayedError, match="No time is reported"):
            check_summary({OURS: mine, TRL: other}, "float32")


@pytest.mark.slow
def test_what_it_writes_follows_from_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.loss", "--tokens", "16", "--vocab", "2000", "--width", "8"]
    command += ["--rounds", "2", "--threads", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "loss.json").read_text(encoding="utf-8"))
    there = importlib.util.find_spec("trl") is not None
    assert set(result["arms"]) == {name for name in TITLES if there or "trl" not in name}
    for name, found in result["arms"].items():
        assert found["seconds"] == statistics.median(found["rounds"])
        assert len(found["rounds"]) == 2
        flops = (4 if found["trained_head"] else 3) * 2 * 16 * 2000 * 8
        assert result["floor"][name]["flops"] == flops
        assert result["floor"][name]["seconds"] >= flops / result["probe"]["flops_per_second"] * (1 - 1e-9)
        assert result["check"]["arms"][name]["gradient_difference"] < 1e-4
        assert result["check"]["arms"][name]["value"] > 1e-4, "sides must differ, or agreement says nothing"
        assert ("head_gradient_difference" in result["check"]["arms"][name]) == found["trained_head"]
    assert ElementTree.fromstring((tmp_path / "loss.svg").read_text(encoding="utf-8")).tag.endswith("svg")
    for entry in result["ratios"].values():
        assert f"{entry['seconds']:.2f} of the time (rounds" in done.stdout


def test_an_unknown_arm_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.loss import main

    assert main(["--arms", "nothing", "--out", str(tmp_path)]) == 2
    assert "arms nothing: there are unswayed" in capsys.readouterr().err
