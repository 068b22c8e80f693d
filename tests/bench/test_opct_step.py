"""`bench.opct_step` on a tiny model: every figure that it writes follows from what it measured."""

from __future__ import annotations

import json
import os
import socket
import statistics
from pathlib import Path
from typing import Any

import pytest
from bench.step.report import ragged, ratios
from bench.step.work import ARMS, PHASES, arms_for, write_work_pairs

from bench import opct_step
from unswayed.core.errors import ConfigError
from unswayed.data.read import read_pairs

ROOT = Path(__file__).resolve().parents[2]
PAIRS, TOKENS, STEPS = 4, 6, 2
OPTIONS = ("--threads", "1", "--dtype", "float32")


@pytest.mark.slow
@pytest.mark.usefixtures("in_threads")
@pytest.mark.parametrize("other", ["transformers", "trl"])
def test_figures_follow_from_the_steps(
    other: str, tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--pairs", str(PAIRS), "--new-tokens", str(TOKENS), "--steps", str(STEPS)]
    where = ["--model", str(tiny_model_dir), "--out", str(tmp_path)]
    if other == "trl":
        pytest.importorskip("trl")
    assert opct_step.main([*where, *sizes, *OPTIONS, "--arms", other]) == 0
    printed = capsys.readouterr().out
    result: dict[str, Any] = json.loads((tmp_path / "opct_step.json").read_text(encoding="utf-8"))
    arms = result["arms"]
    assert set(arms) == set(result["check"]["arms"]) == {"unswayed", other}
    assert result["missing"] == {}
    for arm in arms.values():
        assert (len(arm["warmup"]), len(arm["steps"])) == (1, STEPS)
        for step in (*arm["warmup"], *arm["steps"]):
            assert len(step["lengths"]) == PAIRS
            assert all(1 <= length <= TOKENS for length in step["lengths"])
            assert step["tokens"] == sum(step["lengths"])
            assert step["seconds"] == pytest.approx(sum(step["phases"].values()))
            assert all(step["phases"][phase] > 0 for phase in PHASES if phase != "other")
        assert arm["seconds"] == statistics.median(step["seconds"] for step in arm["steps"])
        assert f"{arm['seconds']:.2f} s" in (tmp_path / "opct_step.svg").read_text(encoding="utf-8")
    (ratio,) = result["ratios"].values()
    assert ratio["seconds"] == pytest.approx(arms["unswayed"]["seconds"] / arms[other]["seconds"])
    assert f"{ratio['seconds']:.2f} of the time (rounds" in printed
    ours = result["check"]["arms"]["unswayed"]
    assert ours["token_mean"] > 1e-4, "student and teacher must differ, or agreement says nothing"
    for entry in result["check"]["arms"].values():
        assert entry["token_mean"] == pytest.approx(ours["token_mean"], rel=1e-4)
        assert entry["row_mean"] == pytest.approx(ours["row_mean"], rel=1e-4)
        assert entry["gradient_difference"] < 1e-3
    for name, phase in result["floor"]["phases"].items():
        assert phase["seconds"] >= max(phase["flops_seconds"], phase["bytes_seconds"]) * (1 - 1e-9)
        times = arms["unswayed"]["phases"][name] / phase["seconds"]
        assert result["floor"]["times_floor"][name] == pytest.approx(times)
    given = {"model": tiny_model_dir.name, "pairs": PAIRS, "new_tokens": TOKENS, "steps": STEPS, "threads": 1}
    assert given.items() <= result["settings"].items()
    for text in (printed, *(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())):
        for secret in (str(ROOT), str(Path.home()), str(tmp_path), socket.gethostname(), os.sep + "tmp"):
            assert len(secret) < 3 or secret not in text


def test_ratios_are_ours_over_the_fastest_variant() -> None:
    def arm(*seconds: float, peak: int = 100) -> dict[str, Any]:
        middle = statistics.median(seconds)
        steps = [{"seconds": one} for one in seconds]
        return {"seconds": middle, "seconds_per_token": middle / 10, "peak_above_ready": peak, "steps": steps}

    found = ratios({"unswayed": arm(2.0, 4.0), "trl": arm(8.0, 8.0), "trl_parts": arm(5.0, 7.0, peak=200)})
    assert set(found) == {"trl"}
    assert found["trl"]["arm"] == "trl_parts"
    assert found["trl"]["seconds"] == pytest.approx(3 / 6)
    assert (found["trl"]["lowest"], found["trl"]["highest"]) == pytest.approx((2 / 5, 4 / 7))
    assert found["trl"]["peak_above_ready"] == pytest.approx(1 / 2)


def test_completions_of_the_check_differ_in_length() -> None:
    assert [len(ids) for ids in ragged([[5] * 6 for _ in range(4)])] == [6, 5, 4, 3]
    assert ragged([[7], [7]]) == [[7], [7]]


def test_pairs_are_as_many_as_asked_for_and_differ(tmp_path: Path) -> None:
    write_work_pairs(tmp_path / "pairs.jsonl", 12)
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert len({pair.group for pair in pairs}) == len(pairs) == 12
    assert all(pair.prompt != pair.teacher_prompt for pair in pairs)


def test_micro_batches_are_an_arm_only_where_they_divide_the_step() -> None:
    assert arms_for(None, pairs=16, micro_batch=8) == list(ARMS)
    assert "trl_parts" not in arms_for(None, pairs=12, micro_batch=8)
    assert "trl_parts" not in arms_for(None, pairs=8, micro_batch=8)
    with pytest.raises(ConfigError, match="jax"):
        arms_for(["jax"], pairs=16, micro_batch=8)


def test_bad_options_end_with_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opct_step.main(["--model", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert opct_step.main(["--pairs", "100000", "--out", str(tmp_path)]) == 2
    assert "take fewer" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
