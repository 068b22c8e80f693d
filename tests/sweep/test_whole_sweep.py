"""A sweep from its recipe to its page with the real commands on a tiny model, and sweeps that are killed on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cells as small
import pytest

import runs
from unswayed.sweep.cell import Cell, cell_folder, read_cells
from unswayed.sweep.page import report
from unswayed.sweep.planning import plan
from unswayed.sweep.rows import table
from unswayed.sweep.states import status
from unswayed.training.loop import train

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SWEEP = """
name = "tiny"
dir = "{folder}"
seeds = [0]
[eval]
units = 4
capability = ["consistency/twins"]
capability_limit = 4
[[models]]
id = "{model}"
dtype = "float32"
billions = 0.001
[[families]]
name = "sycophancy"
pairs = 8
rows = 16
[[methods]]
name = "opct"
recipe = "{recipes}/opct.toml"
settings = {{"train.steps" = 2, "train.epochs" = "", "train.pairs_per_step" = 4, "sampling.max_new_tokens" = 4}}
[[methods]]
name = "self_confidence"
label = "{recipes}/labels/self_confidence.toml"
recipe = "{recipes}/sft.toml"
settings = {{"method.source" = "target", "train.steps" = 2, "train.epochs" = "", "train.pairs_per_step" = 4}}
label_settings = {{max_new_tokens = 4, eval_max_new_tokens = 4}}
"""


def planned(folder: Path, model: Path, organism: Path) -> Path:
    """Plan a sweep whose organism is there already: a tiny model learns no trait, and its gate would say so."""
    folder.mkdir()
    recipe = folder / "sweep.toml"
    recipe.write_text(SWEEP.format(folder=folder, model=model, recipes=RECIPES), encoding="utf-8")
    root = plan(recipe).write()
    (made,) = (cell for cell in read_cells(root) if cell.kind == "organism")
    shutil.copytree(organism, cell_folder(root, made.key) / "out" / "organism")
    return root


def sweep(root: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start `unswayed sweep run`."""
    return subprocess.Popen([sys.executable, "-m", "unswayed", "-q", "sweep", "run", str(root), *words])


@pytest.mark.deep
def test_the_real_commands_make_a_table_and_a_page_and_a_killed_sweep_makes_the_same(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    organism = train(runs.recipe(tmp_path / "organism", tiny_model_dir)).adapter
    whole = planned(tmp_path / "whole", tiny_model_dir, organism)
    assert sweep(whole).wait() == 0
    found = status(whole)
    assert found.counts() == {
        "pairs": {"done": 1}, "organism": {"done": 1}, "label": {"done": 1}, "train": {"done": 2}, "eval": {"done": 8},
    }  # fmt: skip
    rows = table(whole)
    traits = [row for row in rows if row["metric"] == "sycophancy_trait"]
    assert {row["method"] for row in traits} == {"none", "opct", "self_confidence"}
    assert all(row["n"] + row["unscored"] > 0 for row in rows)
    page = report(whole).read_text(encoding="utf-8")
    assert "All traits of every organism" in page

    killed = planned(tmp_path / "killed", tiny_model_dir, organism)
    kills = kill_until_done(killed, most=20, longest=8.0)
    assert kills > 3
    table(killed)
    for name in ("table.jsonl", "table.parquet"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def kill_until_done(root: Path, *, most: int, longest: float, children: bool = True) -> int:
    """Kill `sweep run` at random times, with its commands every other time, then let it end; return how often."""
    times = random.Random(0)
    for kill in range(most):
        process = sweep(root)
        try:
            if process.wait(times.uniform(0.3, longest)) == 0:
                return kill
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if kill % 2 and children:
            for cell in read_cells(root):
                kill_holder(root, cell)
    assert sweep(root).wait() == 0
    return most


def kill_holder(root: Path, cell: Cell) -> None:
    """Kill the command of a cell: the process whose working folder it is."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == cell_folder(root, cell.key).resolve():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def chain() -> list[Cell]:
    """Cells that take a moment, can be begun again, and write what they read."""
    cells: list[Cell] = []
    for number in range(6):
        first = small.script(f"o{number}", f"sleep 0.2; echo {number} > work/a; echo o{number} >> ../../made")
        text = f"cat ../{first.key}/out/a > work/b; sleep 0.2; echo more >> work/b; echo t{number} >> ../../made"
        cells += [first, small.script(f"t{number}", f"rm -f work/b; {text}", [first])]
    return cells


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.deep)])
def test_a_sweep_that_is_killed_again_and_again_ends_as_one_that_never_was(tmp_path: Path, kills: int) -> None:
    cells = chain()
    whole, killed = small.planned(tmp_path / "whole", cells), small.planned(tmp_path / "killed", cells)
    assert sweep(whole, "--slots", "2").wait() == 0
    kill_until_done(killed, most=kills, longest=1.5)
    assert status(killed).counts() == {"train": {"done": 12}}
    for cell in cells:
        ends = [cell_folder(root, cell.key) / "out" for root in (whole, killed)]
        assert {path.name: path.read_bytes() for path in ends[0].iterdir()} == {
            path.name: path.read_bytes() for path in ends[1].iterdir()
        }
    done = (killed / "made").read_text(encoding="utf-8").splitlines()
    before = len(done)
    assert sweep(killed).wait() == 0
    assert len((killed / "made").read_text(encoding="utf-8").splitlines()) == before  # nothing is done twice


def test_the_command_says_what_failed_and_prints_json(tmp_path: Path) -> None:
    bad = small.script("bad", "echo the cause; exit 4")
    root = small.planned(tmp_path / "s", [bad, small.script("below", "true", [bad])])
    words = [sys.executable, "-m", "unswayed", "-q", "sweep"]
    done = subprocess.run([*words, "run", str(root), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 of 2 cells failed, and 1 wait for them in vain" in done.stderr
    assert "the cause" in done.stderr
    assert json.loads(done.stdout)["counts"] == {"train": {"failed": 1, "blocked": 1}}
    done = subprocess.run([*words, "why", str(root), "bad"], capture_output=True, text=True, check=True)
    assert "ended with exit code 4:\n    $ sh -c" in done.stdout
