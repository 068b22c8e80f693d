"""Submits the cells of a sweep to Slurm: array jobs, one for each level of the matrix, which wait for those above.

DIR/slurm/ID.cells    the keys of a job's tasks, one a line, in the order of the array
DIR/slurm/ID.sh       the script that was submitted
DIR/slurm/jobs.jsonl  which job runs which list

A task runs `unswayed sweep cell`. Where that ends with 75, because the command saved and stopped, the task puts itself
back into the queue (that task alone, as JOB_TASK). A cluster whose preemption cancels instead loses nothing either: the
next call asks `squeue` what is still there, and submits what is unfinished and not among it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path

from unswayed.core.errors import ConfigError
from unswayed.core.files import append_jsonl, read_jsonl, write_atomic
from unswayed.core.hashing import hash_text
from unswayed.sweep.cell import Cell
from unswayed.sweep.executors.base import Work
from unswayed.sweep.states import states_of

LONGEST = 1000
"""Tasks of one array: the default `MaxArraySize` of Slurm is 1001."""
POLL = 5.0  # seconds between two looks at the queue, with `wait`
JOBS = "jobs.jsonl"

SCRIPT = """\
#!/bin/sh
# One task a cell of the list beside this file. SIGTERM (a time limit, a preemption) is passed on, so that the command
# saves; what saved and stopped goes back into the queue.
key=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {cells})
{python} -m unswayed sweep cell {root} "$key" &
child=$!
trap 'kill -TERM $child 2>/dev/null' TERM
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
if [ $code -eq 75 ]; then scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"; fi
exit $code
"""


def run_slurm(work: Work, *, most: int = 0, options: Sequence[str] = (), wait: bool = False) -> None:
    """Submit what is unfinished and not in the queue already.

    Args:
        work: what to do.
        most: tasks of an array at once; 0 leaves that to the cluster.
        options: what else `sbatch` is given.
        wait: return when the jobs have ended.

    Raises:
        ConfigError: Slurm's commands are not there, or refuse the job.
    """
    folder = work.root / "slurm"
    folder.mkdir(exist_ok=True)
    queued = _queued(folder)
    submit(work, folder, queued, most, options)
    while wait and not work.stop() and _queued(folder):
        work.watch(states_of(work.root, work.cells))
        time.sleep(POLL)


def submit(work: Work, folder: Path, queued: dict[str, str], most: int, options: Sequence[str]) -> list[str]:
    """Submit the cells that are startable or wait for such, level by level; return the ids of the jobs.

    Args:
        work: what to do.
        folder: where scripts and lists go.
        queued: which task of which job will run a cell; what is submitted is added.
        most, options: as for `run_slurm`.
    """
    states = states_of(work.root, work.cells)
    todo = [
        cell
        for cell in work.cells
        if states[cell.key] in {"ready", "interrupted", "waiting"} and cell.key not in queued
    ]
    ids = []
    for cells in _arrays(todo):
        after = sorted({queued[key] for cell in cells for key in cell.needs if key in queued})
        job = _sbatch(work.root, folder, cells, after, most, options)
        append_jsonl(folder / JOBS, [{"job": job, "cells": [cell.key for cell in cells]}])
        queued.update({cell.key: f"{job}_{task}" for task, cell in enumerate(cells)})
        ids.append(job)
    return ids


def _arrays(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Yield lists of cells that ask the same of a node and need only what stands in earlier lists."""
    level: dict[str, int] = {}
    groups: dict[tuple[int, int, float], list[Cell]] = {}
    for cell in cells:
        level[cell.key] = 1 + max((level[key] for key in cell.needs if key in level), default=-1)
        groups.setdefault((level[cell.key], cell.devices, cell.memory), []).append(cell)
    for _, group in sorted(groups.items(), key=lambda item: item[0]):
        for start in range(0, len(group), LONGEST):
            yield group[start : start + LONGEST]


def _sbatch(
    root: Path, folder: Path, cells: Sequence[Cell], after: Sequence[str], most: int, options: Sequence[str]
) -> str:
    keys = "".join(f"{cell.key}\n" for cell in cells)
    name = hash_text(keys)[:12]
    place = folder.resolve() / name
    script = SCRIPT.format(
        cells=shlex.quote(f"{place}.cells"), python=shlex.quote(sys.executable), root=shlex.quote(str(root.resolve()))
    )
    write_atomic(place.with_suffix(".cells"), keys)
    write_atomic(place.with_suffix(".sh"), script)
    first = cells[0]
    jobs = sorted({task.partition("_")[0] for task in after}, key=int)
    words = [
        "sbatch",
        "--parsable",
        f"--job-name=unswayed-{root.name}",
        f"--array=0-{len(cells) - 1}" + (f"%{most}" if most else ""),
        f"--output={place}-%a.out",
        "--open-mode=append",  # a second start must not empty the log of the first
        "--requeue",
        "--signal=B:TERM@90",
        *([f"--mem={ceil(first.memory * 1000)}M"] if first.memory else []),
        *([f"--gpus={first.devices}"] if first.devices else []),
        # Not afterok: a cell that failed blocks its own dependents, and those of the others may go on.
        *([f"--dependency=afterany:{':'.join(jobs)}"] if jobs else []),
        *options,
        str(place.with_suffix(".sh")),
    ]
    return _call(words).strip().partition(";")[0]


def _queued(folder: Path) -> dict[str, str]:
    """Return which task of which job will run, or runs, a cell of this sweep: what `squeue` still has of our jobs."""
    jobs: Mapping[str, list[str]] = {row["job"]: row["cells"] for row in read_jsonl(folder / JOBS)}
    if not jobs:
        return {}
    found = {}
    for line in _call(["squeue", "--noheader", "--array", "--me", "--format=%F %K"]).splitlines():
        job, _, task = line.strip().partition(" ")
        if job in jobs and task.isdecimal():
            found[jobs[job][int(task)]] = f"{job}_{task}"
    return found


def _call(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    except FileNotFoundError as error:
        raise ConfigError(f"{words[0]} is not on this machine; run the sweep where Slurm's commands are") from error
    if done.returncode:
        raise ConfigError(f"{words[0]} refuses (exit code {done.returncode}): {done.stderr.strip()}")
    return done.stdout
