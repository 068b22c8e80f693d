"""The harness: arms in processes, turns, figures pair by pair, and the end that all commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench.child import Clock

from bench import command, race, summary
from unswayed.core.errors import ConfigError, UnswayedError

WORK = SimpleNamespace(threads=1, steps=3, dtype="float32")
ARM = """
import os
def run(work, control, *, how):
    if how == "fails": raise ValueError("no such weight")
    if how == "missing": import a_library_that_is_not_there
    if how == "broken": import unswayed.not_a_module
    control.ready(pid=os.getpid())
    for order in control.orders():
        if how == "dies": os._exit(9)
        print("a library prints")
        control.report(seconds=1.0, order=order, threads=os.environ["OMP_NUM_THREADS"])
"""


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return where an arm is that behaves as told."""
    (tmp_path / "an_arm.py").write_text(ARM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "an_arm", raising=False)
    return lambda how: ("an_arm", {"how": how})


def test_an_arm_runs_in_a_process_of_its_own(arm: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert race.alone("a", arm("answers"), SimpleNamespace(threads=3)) == {
        "seconds": 1.0,
        "order": None,
        "threads": "3",
    }
    assert capfd.readouterr().out == "", "stdout is the parent's"
    with pytest.raises(UnswayedError, match=r"ended without an answer \(exit code 9\)"):
        race.alone("a", arm("dies"), WORK)


@pytest.mark.usefixtures("in_threads")
@pytest.mark.parametrize(
    ("how", "says"),
    [("fails", "ValueError: no such weight"), ("missing", "a_library_that_is_not_there"), ("broken", "not_a_module")],
)
def test_an_arm_that_cannot_run_says_why(arm: Any, how: str, says: str) -> None:
    with pytest.raises(UnswayedError, match=says):
        race.alone("a", arm(how), WORK)


@pytest.mark.usefixtures("in_threads")
def test_each_round_begins_with_the_next_arm_and_a_missing_library_leaves_an_arm_out(
    arm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"a": arm("answers"), "b": arm("answers"), "c": arm("missing")}
    with race.Race(["a", "b", "c"], WORK, where) as run:
        run.run(warmup=1)
        assert run.check("same") == {name: {"seconds": 1.0, "order": "same", "threads": "1"} for name in "ab"}
    assert [step["order"] for step in run.arms["a"].steps] == [0, 1, 2]
    assert len(run.probe.steps) == 3
    assert "a_library_that_is_not_there" in run.missing["c"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("c: left out")
    turns = [line.split(" 1.00")[0] for line in lines[1:]]
    assert turns == ["warm-up: a", "warm-up: b", "round 1: b", "round 1: a", "round 2: a", "round 2: b"]
    with pytest.raises(UnswayedError, match="not_a_module"):  # our own mistake is no missing library
        race.Race(["b"], WORK, {"b": arm("broken")}).__enter__()


def test_ours_always_runs_and_an_unknown_arm_is_named() -> None:
    assert race.choose(None, ["us", "a", "b"], "us") == ["us", "a", "b"]
    assert race.choose(["b"], ["us", "a", "b"], "us") == ["us", "b"]
    with pytest.raises(ConfigError, match="arms jax: there are us, a"):
        race.choose(["jax"], ["us", "a"], "us")


def test_a_phase_does_not_count_what_an_inner_one_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 4.0, 6.0, 11.0, 12.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock()
    clock.start()
    outer = clock.timed("learn", clock.timed("sample", lambda: 7))
    assert outer() == 7
    clock.switch("other")
    assert clock.seconds == {"other": 1.0 + 1.0, "learn": 3.0 + 5.0, "sample": 2.0}


def test_a_clock_tells_the_peak_of_each_phase() -> None:
    clock = Clock(peaks=True)
    clock.start()
    with clock.phase("small"):
        pass
    with clock.phase("large"):
        np.ones(1 << 24).sum()  # 128 MiB
    assert clock.peaks is not None
    assert clock.peaks["large"] - clock.peaks["small"] > 100 * 2**20


def test_ratios_are_of_medians_and_their_bounds_of_rounds() -> None:
    assert summary.ratio([1, 4, 2], [3, 4, 8]) == {"seconds": 0.5, "lowest": 0.25, "highest": 1.0}
    assert summary.ratio([1, 4, 2], [4])["highest"] == 1.0, "the last round stands for those that were left out"


def test_rounding_passes_the_check_and_nothing_else() -> None:
    mine = {"value": 0.5, "gradient": np.array([3.0, 4.0])}
    limits, titles = {"value": 1e-3, "gradient": 1e-2}, {"us": "ours", "it": "theirs"}
    close = {"value": 0.50001, "gradient": np.array([3.0, 4.005])}
    found = summary.agree({"us": mine, "it": close}, titles, limits)["arms"]["it"]
    assert found["value_difference"] == pytest.approx(2e-5)
    assert found["gradient_difference"] == pytest.approx(1e-3)
    assert found["gradient_norm"] == pytest.approx(5, abs=0.01)
    for wrong in ({"value": 0.51}, {"value": float("nan")}, {"gradient": np.array([3.0, 4.2])}):
        with pytest.raises(UnswayedError, match=r"theirs does not compute what ours computes.*No time is reported"):
            summary.agree({"us": mine, "it": {**mine, **wrong}}, titles, limits)


def test_the_end_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def finish(*words: str, measure: Any = lambda: {"found": 1}, write: bool = True) -> int:
        options = command.parser("x", "about", model=True).parse_args(["--out", str(tmp_path / "o"), *words])
        return command.finish("x", options, measure, lambda r: [f"found {r['found']}"], lambda _: "<svg/>", write=write)

    assert finish(write=False) == 0
    assert not (tmp_path / "o").exists()
    assert finish() == 0
    result = json.loads((tmp_path / "o" / "x.json").read_text(encoding="utf-8"))
    assert result["bench"] == "x"
    assert result["machine"]["cores"] >= 1
    (tmp_path / "o" / "x.svg").unlink()
    assert finish("--redraw", measure=None) == 0
    assert (tmp_path / "o" / "x.svg").read_text(encoding="utf-8") == "<svg/>"
    assert capsys.readouterr().out == "found 1\n" * 3

    def refuse() -> Any:
        raise ConfigError("no such arm")

    assert finish(measure=refuse) == 2
    assert capsys.readouterr().err == "error: no such arm\n"
    assert finish("--redraw", "--out", str(tmp_path / "none")) == 1
    assert "x.json" in capsys.readouterr().err
