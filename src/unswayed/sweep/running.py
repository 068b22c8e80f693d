"""Run what is unfinished of a sweep: plan it, give the cells to an executor, and say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from unswayed.core.errors import ConfigError, Interrupted, UnswayedError
from unswayed.core.files import locked
from unswayed.core.signals import stop_signals
from unswayed.sweep.cell import FAILED, Cell, cell_folder, read_cells
from unswayed.sweep.executors.base import Watch, Work
from unswayed.sweep.executors.local import Slots, run_local
from unswayed.sweep.planning import plan
from unswayed.sweep.states import Status, failure, status

Executor = Literal["local", "slurm", "ray"]


def run(
    path: str | Path,
    *,
    executor: Executor = "local",
    set: Sequence[str] = (),
    methods: list[str] | None = None,
    slots: int = 0,
    devices: Sequence[str] = (),
    memory: float = float("inf"),
    retry: bool = False,
    wait: bool = False,
    options: Sequence[str] = (),
    address: str = "auto",
    watch: Watch = lambda states: None,
) -> Status:
    """Run what is unfinished of a sweep, and return where it stands. The same call goes on where it stopped.

    Args:
        path: a sweep recipe, or the folder of a sweep that was planned before.
        executor: `local`: processes of this machine; `slurm`: array jobs; `ray`: tasks of a cluster.
        set, methods: as for `plan`; for a recipe only.
        slots: commands at once; by default one for each device, or one. Under Slurm, tasks of an array at once.
        devices: local only; ids of accelerators, shared out among the slots.
        memory: local only; GB that the commands may take together.
        retry: try failed cells again.
        wait: slurm only; return when all jobs have ended, not when they are submitted.
        options: slurm only; what else `sbatch` is given, e.g. `--partition=gpu`.
        address: ray only; of the cluster.
        watch: called with the state of every cell as they change.

    Raises:
        ConfigError: the sweep cannot be used, or the executor is not there.
        Interrupted: a signal asked to stop; commands that were running have saved.
        UnswayedError: cells failed; the message has the last lines of the first.
    """
    root = folder_of(path, set=set, methods=methods)
    cells = read_cells(root)
    if retry:
        _forget_failures(root, cells)
    with stop_signals:
        work = Work(root, cells, watch, stopped)
        if executor == "local":
            run_local(work, Slots(slots or len(devices) or 1, tuple(devices), memory))
        elif executor == "slurm":
            from unswayed.sweep.executors.slurm import run_slurm

            run_slurm(work, most=slots, options=options, wait=wait)
        elif executor == "ray":
            from unswayed.sweep.executors.ray import run_ray

            run_ray(work, address=address, most=slots)
        else:
            raise ConfigError(f"no executor {executor!r}; there are local, slurm and ray")
        found = status(root, cells)
        watch(found.states)
        if stopped():
            raise Interrupted(f"{root}: stopped; run the same command again to go on")
        return found


def stopped() -> bool:
    """Return whether a signal asked to stop."""
    asked = stop_signals.asked
    return bool(asked() if callable(asked) else asked)


def folder_of(path: str | Path, *, set: Sequence[str] = (), methods: list[str] | None = None) -> Path:
    """Return the folder of a sweep; its plan is written there where `path` is a recipe.

    Raises:
        ConfigError: the sweep cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        if set or methods:
            raise ConfigError(f"{path} is a sweep that was planned; --set and --method belong to its recipe")
        return path
    planned = plan(path, set=set, methods=methods)
    with locked(planned.folder, wait=True):  # two calls at once write one plan after the other
        return planned.write()


def _forget_failures(root: Path, cells: Sequence[Cell]) -> None:
    for cell in cells:
        (cell_folder(root, cell.key) / FAILED).unlink(missing_ok=True)


def failures(root: Path, found: Status) -> UnswayedError | None:
    """Return the failed cells of a sweep as an error that says what to do, or None."""
    failed = [cell for cell in found.cells if found.states[cell.key] == "failed"]
    if not failed:
        return None
    lines = []
    for cell in failed[:3]:
        told = failure(root, cell) or {}
        lines += [
            f"{cell.name} ({cell.key}) ended with exit code {told.get('code')}:",
            *(f"    {line}" for line in told.get("lines", [])[-5:]),
        ]
    blocked = sum(state == "blocked" for state in found.states.values())
    return UnswayedError(
        "\n  ".join([f"{len(failed)} of {len(found.cells)} cells failed, and {blocked} wait for them in vain", *lines])
        + "\n`unswayed sweep why` says more of each; run again with --retry once the cause is gone"
    )
