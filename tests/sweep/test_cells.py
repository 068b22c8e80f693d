"""Cells, their states from files, and the local executor, with small programs as commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cells as small
import pytest

from unswayed.core.errors import ConfigError, DataError, LockedError
from unswayed.core.files import locked
from unswayed.sweep.cell import Cell, cell_folder, read_cells, run_cell, write_cells
from unswayed.sweep.executors.base import Work
from unswayed.sweep.executors.local import Slots, run_local
from unswayed.sweep.states import find_cell, states_of, status, why


def go(root: Path, cells: list[Cell], **slots: object) -> list[str]:
    """Run a sweep here and return the states of its cells."""
    run_local(Work(root, cells, lambda _: None, lambda: False), Slots(**slots))  # type: ignore[arg-type]
    return [states_of(root, cells)[cell.key] for cell in cells]


def test_a_key_is_a_hash_of_kind_inputs_and_needs_alone() -> None:
    first = Cell("train", "a", {"x": 1}, ("true",))
    assert first.key == Cell("train", "b", {"x": 1}, ("false",), devices=1, memory=3.0).key
    others = [
        Cell("eval", "a", {"x": 1}, ("true",)),
        Cell("train", "a", {"x": 2}, ("true",)),
        Cell("train", "a", {"x": 1}, ("true",), needs=(first.key,)),
    ]
    assert len({first.key, *(cell.key for cell in others)}) == 4


def test_cells_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    cells = small.empty(8)
    write_cells(tmp_path, cells)
    assert read_cells(tmp_path) == cells
    text = (tmp_path / "cells.jsonl").read_text(encoding="utf-8").replace('"number": 3', '"number": 4')
    (tmp_path / "cells.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="not the hash of the inputs"):
        read_cells(tmp_path)
    with pytest.raises(ConfigError, match="holds no sweep"):
        read_cells(tmp_path / "nowhere")


def test_results_appear_whole_and_are_made_once(tmp_path: Path) -> None:
    first = small.script("first", "echo 1 > work/a; echo made >> ../../made")
    second = small.script("second", f"cat ../{first.key}/out/a > work/b; echo made >> ../../made", [first])
    for _ in range(2):
        assert go(tmp_path, [first, second]) == ["done", "done"]
    assert (cell_folder(tmp_path, second.key) / "out" / "b").read_text(encoding="utf-8") == "1\n"
    assert not (cell_folder(tmp_path, second.key) / "work").exists()
    assert (tmp_path / "made").read_text(encoding="utf-8") == "made\nmade\n"


def test_a_failed_cell_looks_failed_and_its_dependents_blocked(tmp_path: Path) -> None:
    bad = small.script("bad", "echo one; echo two >&2; echo half > work/half; exit 3")
    below = small.script("below", "true", [bad])
    under = small.script("under", "true", [below])
    beside = small.script("beside", "true")
    cells = [bad, below, under, beside]
    assert go(tmp_path, cells, count=2) == ["failed", "blocked", "blocked", "done"]
    told = why(tmp_path, bad.key, cells)
    assert told["failure"]["code"] == 3
    assert told["failure"]["lines"][-2:] == ["one", "two"]
    assert not (cell_folder(tmp_path, bad.key) / "out").exists()
    assert why(tmp_path, below.key, cells)["needs"] == [{"key": bad.key, "name": "bad", "state": "failed"}]
    assert status(tmp_path, cells).counts() == {"train": {"done": 1, "failed": 1, "blocked": 2}}


def test_a_command_that_is_not_there_fails_like_any_other(tmp_path: Path) -> None:
    cell = Cell("train", "none", {}, ("no-such-program",))
    assert go(tmp_path, [cell]) == ["failed"]
    assert "no-such-program" in why(tmp_path, cell.key, [cell])["failure"]["lines"][-1]


def test_75_means_again(tmp_path: Path) -> None:
    cell = small.script("again", "test -e work/saved || { touch work/saved; exit 75; }; echo end > work/end")
    assert go(tmp_path, [cell]) == ["done"]
    never = small.script("never", "echo x >> work/tries; exit 75")
    assert go(tmp_path, [never]) == ["interrupted"]
    assert (cell_folder(tmp_path, never.key) / "work" / "tries").read_text(encoding="utf-8") == "x\nx\nx\n"


def test_two_processes_never_run_one_cell(tmp_path: Path) -> None:
    cell = small.script("one", "true")
    with locked(cell_folder(tmp_path, cell.key)):
        assert states_of(tmp_path, [cell]) == {cell.key: "running"}
        with pytest.raises(LockedError):
            run_cell(tmp_path, cell)
    assert run_cell(tmp_path, cell) == 0
    with pytest.raises(ConfigError, match="is not done"):
        run_cell(tmp_path, small.script("needy", "true", [small.script("absent", "true")]))


def test_a_command_that_outlives_the_sweep_keeps_its_cell_and_its_slot(tmp_path: Path) -> None:
    """SIGKILL of the parent: the next call waits for the command instead of starting a second one beside it."""
    text = "echo start >> ../../starts; touch work/on; while test ! -e ../../go; do sleep 0.05; done; echo > work/end"
    cell = small.script("long", text)
    small.planned(tmp_path, [cell])
    program = (
        "import sys; from pathlib import Path; from unswayed.sweep.cell import read_cells\n"
        "from unswayed.sweep.executors.base import Work; from unswayed.sweep.executors.local import Slots, run_local\n"
        "root = Path(sys.argv[1]); run_local(Work(root, read_cells(root), lambda _: None, lambda: False), Slots())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while not (cell_folder(tmp_path, cell.key) / "work" / "on").exists():
        time.sleep(0.02)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert states_of(tmp_path, [cell])[cell.key] == "running"
    with pytest.raises(LockedError), locked(tmp_path / "slots" / "0"):
        pass
    (tmp_path / "go").touch()
    assert go(tmp_path, [cell]) == ["done"]
    assert len((tmp_path / "starts").read_text(encoding="utf-8").splitlines()) == 2  # the orphan, and then once more


def test_a_stop_reaches_the_command_once(tmp_path: Path) -> None:
    cell = small.script(
        "slow", "trap 'echo asked >> work/asked; exit 75' TERM; touch work/on; while :; do sleep 0.05; done"
    )
    folder = cell_folder(tmp_path, cell.key)
    run_local(Work(tmp_path, [cell], lambda _: None, (folder / "work" / "on").exists), Slots())
    assert states_of(tmp_path, [cell])[cell.key] == "interrupted"
    assert (folder / "work" / "asked").read_text(encoding="utf-8") == "asked\n"


def test_slots_and_memory_are_not_overfilled(tmp_path: Path) -> None:
    text = (
        "echo $CUDA_VISIBLE_DEVICES > work/device; touch ../../on/$0; ls ../../on | wc -l > work/together; "
        "sleep 0.05; rm ../../on/$0"
    )
    (tmp_path / "on").mkdir()
    cells = [
        Cell("train", f"c{number}", {"n": number}, ("sh", "-c", text, f"c{number}"), memory=memory, devices=1)
        for number, memory in enumerate([1.0, 3.0, 2.0, 2.0, 4.0, 1.0])
    ]
    assert go(tmp_path, cells, count=2, devices=("4", "7"), memory=4.0) == ["done"] * 6
    outs = [cell_folder(tmp_path, cell.key) / "out" for cell in cells]
    assert {(out / "device").read_text(encoding="utf-8").strip() for out in outs} <= {"4", "7"}
    together = [int((out / "together").read_text(encoding="utf-8")) for out in outs]
    assert together[4] == 1  # it takes all the memory
    assert max(together) <= 2
    with pytest.raises(ConfigError, match="takes 5 GB"):
        go(tmp_path, [Cell("train", "big", {}, ("true",), memory=5.0)], memory=4.0)
    with pytest.raises(ConfigError, match="2 slots"):
        go(tmp_path, [Cell("train", "wide", {}, ("true",), devices=4)], count=2)


def test_why_names_the_input_that_made_a_result_stale(tmp_path: Path) -> None:
    axes = {"family": "f", "method": "m", "seed": 0}
    before = Cell("train", "before", {"lr": 0.1, "data": {"sha256": "a"}}, ("true",), axes=axes)
    assert go(tmp_path, [before]) == ["done"]
    after = Cell("train", "after", {"lr": 0.2, "data": {"sha256": "a"}}, ("true",), axes=axes)
    told = why(tmp_path, after.key, [after])
    assert told["state"] == "ready"
    assert told["stale"] == [{"key": before.key, "changed": ["lr: 0.1 there, 0.2 here"]}]
    assert status(tmp_path, [after]).stale == (before.key,)
    assert find_cell([after], after.key[:6]) is after
    with pytest.raises(ConfigError, match="no cell"):
        find_cell([after], "zzz")


def test_a_cell_can_be_run_by_hand(tmp_path: Path) -> None:
    cell = small.script("by hand", 'echo "$WORD" > work/word', environment={"WORD": "two words"})
    assert run_cell(tmp_path, cell) == 0
    folder = cell_folder(tmp_path, cell.key)
    shell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))["shell"]
    (folder / "work").mkdir()
    subprocess.run(shell, shell=True, cwd=folder, check=True)
    assert (folder / "work" / "word").read_bytes() == (folder / "out" / "word").read_bytes() == b"two words\n"
