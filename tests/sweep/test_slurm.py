"""Slurm: what is submitted, with stand-ins for its commands; and a real controller and node that this file starts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import cells as small
import pytest
import slurm_cluster

from unswayed.core.errors import ConfigError
from unswayed.sweep.cell import Cell, cell_folder
from unswayed.sweep.executors import slurm
from unswayed.sweep.executors.base import Work
from unswayed.sweep.executors.slurm import run_slurm
from unswayed.sweep.states import states_of


def work(root: Path, cells: list[Cell]) -> Work:
    return Work(root, cells, lambda _: None, lambda: False)


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put `sbatch` and `squeue` on the path; the first notes its words, the second prints a file."""
    folder.mkdir()
    calls = folder / "calls"
    scripts = {
        "sbatch": f'printf "%s\\n" "$@" >> {calls}; n=$(grep -c parsable {calls}); echo "$((100 + n));x"',
        "squeue": f"cat {folder}/queue 2>/dev/null; true",
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


def matrix() -> list[Cell]:
    """Two organisms; of each a label and a train cell; the second organism wants a device."""
    cells = []
    for number in range(2):
        organism = small.script(f"o{number}", f"echo {number} > work/o", kind="organism", devices=number, memory=1.5)
        label = small.script(f"l{number}", f"cat ../{organism.key}/out/o > work/l", [organism], kind="label")
        train = small.script(f"t{number}", f"cat ../{label.key}/out/l > work/t", [organism, label])
        cells += [organism, label, train]
    return cells


def test_arrays_go_level_by_level_and_wait_for_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_ins(tmp_path / "bin", monkeypatch)
    cells = matrix()
    root = small.planned(tmp_path / "s", cells)
    run_slurm(work(root, cells), most=3, options=["--partition=gpu"])
    jobs = calls.read_text(encoding="utf-8").split("--parsable\n")[1:]
    assert len(jobs) == 4  # organisms without and with a device, labels, trainings
    plain, gpu, label, train = jobs
    assert "--array=0-0%3" in plain
    assert "--mem=1500M" in plain
    assert "--gpus" not in plain
    assert "--gpus=1" in gpu
    assert "--dependency" not in plain + gpu
    assert "--array=0-1%3" in label
    assert "--dependency=afterany:101:102\n" in label
    assert "--dependency=afterany:101:102:103\n" in train
    assert all("--partition=gpu\n" in job and "--open-mode=append\n" in job and "--requeue\n" in job for job in jobs)


def test_what_is_in_the_queue_is_not_submitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_ins(tmp_path / "bin", monkeypatch)
    cells = matrix()
    root = small.planned(tmp_path / "s", cells)
    run_slurm(work(root, cells))
    assert calls.read_text(encoding="utf-8").count("--parsable") == 4
    (tmp_path / "bin" / "queue").write_text("101 0\n103 0\n103 1\n999 0\n", encoding="utf-8")
    run_slurm(work(root, cells))
    again = calls.read_text(encoding="utf-8").split("--parsable\n")[5:]
    assert len(again) == 3  # gone from the queue are the second organism and both trainings; the labels are still there
    first, organism, second = again
    assert "--dependency=afterany:101:103\n" in first
    assert "--gpus=1\n" in organism
    assert "--dependency=afterany:103:106\n" in second


def test_arrays_stay_below_the_size_that_slurm_allows() -> None:
    cells = [small.script(f"c{number}", "true") for number in range(2 * slurm.LONGEST + 1)]
    assert [len(group) for group in slurm._arrays(cells)] == [slurm.LONGEST, slurm.LONGEST, 1]


def test_a_machine_without_slurm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="sbatch is not on this machine"):
        run_slurm(work(small.planned(tmp_path / "s", matrix()), matrix()))


def until(root: Path, cells: list[Cell], environment: dict[str, str], seconds: float = 120) -> dict[str, str]:
    """Wait until the queue is empty; tasks that were put back wait for no clock."""
    for _ in range(int(seconds / 0.5)):
        tasks = slurm_cluster.queue(environment)
        if not tasks:
            break
        for task in tasks:
            if "BeginTime" in task:
                where = f"jobid={task.split()[0]}"
                subprocess.run(["scontrol", "update", where, "StartTime=now"], env=environment, check=False)
        time.sleep(0.5)
    states = states_of(root, cells)
    return {cell.name: states[cell.key] for cell in cells}


@pytest.mark.deep
def test_a_real_slurm_runs_requeues_and_takes_up_what_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = slurm_cluster.install()
    if missing:
        pytest.skip(missing)
    good = [cell for cell in matrix() if not cell.devices and cell.name.endswith("0")]
    again = small.script(
        "again", "echo x >> ../../tries; test -e work/saved || { touch work/saved; exit 75; }; echo 1 > work/end"
    )
    bad = small.script("bad", "echo broken; exit 3")
    below = small.script("below", "true", [bad], kind="eval")
    waits = (
        "trap 'echo saved >> work/log; exit 75' TERM; touch work/on; "
        "for i in $(seq 600); do test -e ../../go && break; sleep 0.1; done; echo end >> work/log"
    )
    saves = small.script("saves", waits, kind="eval")
    cells = [*good, again, bad, below, saves]
    root = small.planned(tmp_path / "s", cells)
    with slurm_cluster.cluster(tmp_path / "slurm") as environment:
        monkeypatch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        run_slurm(work(root, cells))
        on = cell_folder(root, saves.key) / "work" / "on"
        for _ in range(120):
            if on.exists():
                break
            time.sleep(0.5)
        submitted = {
            row["job"]: row["cells"]
            for row in map(json.loads, (root / "slurm" / "jobs.jsonl").read_text().splitlines())
        }
        task = next(f"{job}_{keys.index(saves.key)}" for job, keys in submitted.items() if saves.key in keys)
        run_slurm(work(root, cells))  # while all of it is queued or runs: nothing is submitted twice
        assert len((root / "slurm" / "jobs.jsonl").read_text().splitlines()) == len(submitted)
        subprocess.run(["scancel", "--signal=TERM", "--batch", task], env=environment, check=True)  # a preemption
        for _ in range(120):
            if (cell_folder(root, saves.key) / "work" / "log").exists():
                break
            time.sleep(0.5)
        subprocess.run(["scancel", task], env=environment, check=True)  # and one that cancels: not back in the queue
        (root / "go").touch()
        assert until(root, cells, environment) == {
            "o0": "done", "l0": "done", "t0": "done", "again": "done", "bad": "failed", "below": "blocked",
            "saves": "interrupted",
        }  # fmt: skip
        assert (root / "tries").read_text() == "x\nx\n"
        run_slurm(work(root, cells))
        assert until(root, cells, environment)["saves"] == "done"
    assert (cell_folder(root, saves.key) / "out" / "log").read_text() == "saved\nend\n"
    assert (cell_folder(root, good[2].key) / "out" / "t").read_text() == "0\n"
