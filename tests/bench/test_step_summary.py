"""What the parts of the bench make of given numbers, and what they refuse to report."""

from __future__ import annotations

import sys
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.step import summary
from bench.step.work import PHASES, Work, arms_for, write_work_pairs
from bench.step.worker import ARMS, Control, run

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.data.read import read_pairs

IDS = [[[1, 2], [3]]]


def answer(**changes: Any) -> dict[str, Any]:
    gradient = np.array([3.0, 4.0], dtype=np.float32)
    return {"ids": IDS, "token_mean": 0.5, "row_mean": 0.4, "gradient": gradient, **changes}


def arm(*seconds: float, tokens: int = 10, peak: int = 200) -> dict[str, Any]:
    facts = {"weight_bytes": 1, "ready_rss": 100, "peak_since_ready": True}
    phases = dict.fromkeys(PHASES, 0.0)
    steps = [
        {"seconds": one, "phases": phases | {"sample": one}, "completions": [[0] * tokens], "peak_rss": peak}
        for one in seconds
    ]
    return summary.arm_summary("trl", facts, steps, warmup=1)


def test_warm_up_counts_for_nothing_but_memory() -> None:
    found = arm(100.0, 2.0, 4.0, 3.0)
    assert (found["seconds"], found["seconds_per_token"], found["phases"]["sample"]) == (3.0, 0.3, 3.0)
    assert found["peak_above_ready"] == 100
    assert [step["seconds"] for step in found["warmup"]] == [100.0]


def test_ratios_are_ours_over_the_fastest_variant() -> None:
    arms = {"unswayed": arm(9, 2.0, 4.0), "trl": arm(9, 8.0, 8.0), "trl_parts": arm(9, 5.0, 7.0, peak=300)}
    found = summary.ratios(arms)
    assert set(found) == {"trl"}
    assert found["trl"]["arm"] == "trl_parts"
    assert found["trl"]["seconds"] == pytest.approx(3 / 6)
    assert (found["trl"]["lowest"], found["trl"]["highest"]) == pytest.approx((2 / 5, 4 / 7))
    assert found["trl"]["peak_above_ready"] == pytest.approx(100 / 200)


def test_rounding_passes_the_check() -> None:
    answers = {"unswayed": answer(), "trl": answer(token_mean=0.50001)}
    found = summary.check_summary(answers, "float32")
    assert found["arms"]["trl"]["token_mean_difference"] == pytest.approx(2e-5)
    assert found["arms"]["trl"]["gradient_norm"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ids": [[[1, 2], [4]]]}, "the same prompts"),
        ({"token_mean": 0.51}, "does not compute"),
        ({"row_mean": 0.41}, "does not compute"),
        ({"row_mean": float("nan")}, "does not compute"),
        ({"gradient": np.array([3.0, 4.2], dtype=np.float32)}, "does not compute"),
    ],
)
def test_no_time_is_reported_for_different_work(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UnswayedError, match=says):
        summary.check_summary({"unswayed": answer(), "trl": answer(**changes)}, "float32")


def test_completions_of_the_check_differ_in_length() -> None:
    cut = summary.ragged([[5] * 6 for _ in range(4)])
    assert [len(ids) for ids in cut] == [6, 5, 4, 3]
    assert summary.ragged([[7], [7]]) == [[7], [7]]


def test_a_phase_does_not_count_what_an_inner_one_takes() -> None:
    here, there = Pipe()
    control = Control(there)
    here.send(0)
    control.begin()
    clock = iter([1.0, 4.0, 6.0, 11.0])
    control._mark = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(clock, 11.0))
        with control.phase("learn"), control.phase("sample"):
            pass
        control.end([[1, 2]])
    kind, facts = here.recv()
    assert kind == "done"
    assert facts["phases"] == {"sample": 2.0, "teacher": 0.0, "learn": 3.0 + 5.0, "optim": 0.0, "other": 1.0}
    assert facts["seconds"] == 11.0


def work(tmp_path: Path, model: str) -> Work:
    return Work(model, str(tmp_path / "pairs.jsonl"), pairs=2, steps=1, new_tokens=2, rank=2, threads=1)


def test_an_arm_without_its_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.delitem(sys.modules, "bench.step.trl_sdft", raising=False)
    here, there = Pipe()
    run(ARMS["trl"], work(tmp_path, "none"), there)
    kind, reason = here.recv()
    assert kind == "missing"
    assert "trl" in reason


def test_an_arm_that_fails_tells_why(tmp_path: Path) -> None:
    here, there = Pipe()
    run(ARMS["unswayed"], work(tmp_path, str(tmp_path / "nothing")), there)
    kind, text = here.recv()
    assert kind == "error"
    assert "pairs.jsonl: cannot be read" in text


def test_pairs_are_as_many_as_asked_for_and_differ(tmp_path: Path) -> None:
    write_work_pairs(tmp_path / "pairs.jsonl", 12)
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert len({pair.group for pair in pairs}) == len(pairs) == 12
    assert all(pair.prompt != pair.teacher_prompt for pair in pairs)
    with pytest.raises(ConfigError, match="take fewer"):
        write_work_pairs(tmp_path / "more.jsonl", 10**6)


def test_micro_batches_are_an_arm_only_where_they_divide_the_step() -> None:
    assert "trl_parts" in arms_for(None, pairs=16, micro_batch=8)
    assert "trl_parts" not in arms_for(None, pairs=12, micro_batch=8)
    assert "trl_parts" not in arms_for(None, pairs=8, micro_batch=8)
    assert arms_for(["transformers"], pairs=16, micro_batch=8) == ["unswayed", "transformers"]
    with pytest.raises(ConfigError, match="jax"):
        arms_for(["jax"], pairs=16, micro_batch=8)
