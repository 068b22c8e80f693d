"""`unswayed runs`: what lies under a folder of runs, whether every byte of it is right, and what may go."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unswayed.cli.options import Json, echo, print_json
from unswayed.core.errors import CheckpointError, ConfigError, DataError, UnswayedError
from unswayed.core.files import lock_holder, locked, read_jsonl, remove_tree
from unswayed.core.jsonl import loads
from unswayed.core.printable import printable
from unswayed.training import checkpoint
from unswayed.training.export import adapter_problems

log = logging.getLogger(__name__)
State = Literal["running", "done", "failed", "interrupted"]
KEPT = 2  # checkpoints that always stay: a damaged newest needs a second

app = typer.Typer(help="List, verify and prune run folders.", no_args_is_help=True)
Root = Annotated[Path, typer.Argument(metavar="DIR", help="A run, or a folder that holds runs at any depth.")]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder as it is on disk. `step` is the last one in `metrics.jsonl`, None where none is written."""

    path: Path
    name: str
    state: State
    step: int | None
    checkpoints: tuple[Path, ...]


def find_runs(root: Path) -> list[Run]:
    """Return the runs at or below `root`, ordered by path. A run is a folder with a `recipe.json`.

    Raises:
        ConfigError: there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; name a run, or the folder that holds your runs (save.dir)")
    return [_look(path, root) for path in _run_folders(root)]


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        if "recipe.json" in files:
            yield Path(folder)
            below.clear()  # whatever lies inside a run is part of it
        below[:] = sorted(name for name in below if not name.startswith("."))


def _look(path: Path, root: Path) -> Run:
    state: State = "interrupted"
    if lock_holder(path):
        state = "running"
    elif (path / "DONE.json").exists():
        state = "done"
    elif (path / "FAILED.json").exists():
        state = "failed"
    name = path.name or path.resolve().name if path == root else str(path.relative_to(root))
    return Run(path, name, state, _last_step(path / "metrics.jsonl"), tuple(checkpoint.list_checkpoints(path)))


def _last_step(path: Path, tail: int = 1 << 16) -> int | None:
    """Return the step of the last whole row, reading only the end of the file."""
    try:
        with open(path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - tail, 0))
            lines = file.read().split(b"\n")[:-1]  # what follows the last newline was never promised
    except OSError:
        return None
    try:
        step = loads(lines[-1])["step"] if lines else None
    except (ValueError, KeyError, TypeError):
        return None  # `runs verify` says what is wrong with it
    return step if isinstance(step, int) else None


@app.command("list")
def list_(root: Root = Path("runs"), as_json: Json = False) -> None:
    """List runs: state, last step and newest checkpoint.

    A run is running, done, failed, or interrupted; `unswayed train RECIPE.toml --resume` continues the last two.
    """
    runs = find_runs(root)
    if as_json:
        print_json([_facts(run) for run in runs])
    elif runs:
        rows = [
            (run.name, run.state, "-" if run.step is None else str(run.step), _names(run.checkpoints[-1:]) or "-")
            for run in runs
        ]
        echo(_columns([("run", "state", "step", "newest checkpoint"), *rows]))
    else:
        log.info("no runs in %s", root)


@app.command()
def verify(root: Root = Path("runs"), as_json: Json = False) -> None:
    """Check every checkpoint and published adapter byte by byte, and every metrics file line by line.

    Ends with exit code 4 where anything is wrong.
    """
    found = {run: list(_problems(run)) for run in _some_runs(root)}
    bad = sum(bool(problems) for checks in found.values() for _, problems in checks)
    if as_json:
        results = [
            {**_facts(run), "checks": [{"what": what, "problems": problems} for what, problems in checks]}
            for run, checks in found.items()
        ]
        print_json(results)
    else:
        rows = [
            (run.name, what, "; ".join(problems) or "ok") for run, checks in found.items() for what, problems in checks
        ]
        rows += [(run.name, "-", "nothing saved yet") for run, checks in found.items() if not checks]
        echo(_columns([("run", "what", "result"), *rows]))
    if bad:
        raise CheckpointError(
            f"{bad} damaged; a resume falls back to the newest checkpoint that is whole, and the rest can be pruned"
        )


def _problems(run: Run) -> Iterator[tuple[str, list[str]]]:
    """Yield what was checked and what is wrong with it."""
    for path in run.checkpoints:
        problems = checkpoint.verify(path)
        if path.exists():  # a run that goes on meanwhile prunes its own
            yield path.name, problems
    try:
        if (found := adapter_problems(run.path)) is not None:
            yield "adapter", found
    except (DataError, OSError) as error:
        yield "adapter", [str(error)]
    metrics = run.path / "metrics.jsonl"
    if metrics.exists():
        try:
            read_jsonl(metrics)
        except (DataError, OSError) as error:
            yield metrics.name, [str(error)]
        else:
            yield metrics.name, []


@app.command()
def prune(
    root: Root = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Delete all but the newest two whole checkpoints of every run that is not running.

    Adapters, metrics and records stay. A checkpoint counts as whole only if every byte matches its manifest; where
    fewer than two do, nothing of that run is deleted.
    """
    plan: dict[Path, list[Path]] = {}
    for run in _some_runs(root):
        if run.state == "running":
            log.info("%s: running, left alone", run.name)
        elif surplus := _surplus(run):
            plan[run.path] = surplus
            if as_json:
                continue
            echo(f"{printable(run.name)}: {_names(surplus)} ({_size(surplus) / 1e6:,.1f} MB)")
    if not plan:
        log.info("nothing to prune")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("prune asks before it deletes, and nobody can answer here; say --yes")
        typer.confirm("Delete these?", abort=True)
    failed = []
    for folder, surplus in plan.items():
        try:
            with locked(folder):
                for path in surplus:
                    remove_tree(path, folder / "checkpoints")
        except OSError as error:
            failed.append(f"{error.filename or folder}: cannot be deleted ({error.strerror})")
    if as_json:
        print_json([{"path": str(run), "deleted": [path.name for path in gone]} for run, gone in plan.items()])
    if failed:
        raise UnswayedError("\n".join(failed))


def _surplus(run: Run) -> list[Path]:
    """Return what is older than the second newest whole checkpoint, and what a resume set aside as damaged."""
    whole = 0
    for index in reversed(range(len(run.checkpoints))):
        whole += not checkpoint.verify(run.checkpoints[index])
        if whole == KEPT:
            return [*run.checkpoints[:index], *sorted((run.path / "checkpoints").glob("damaged-*"))]
    return []


def _some_runs(root: Path) -> list[Run]:
    runs = find_runs(root)
    if not runs:
        raise ConfigError(f"{root}: no runs here; a run is a folder with a recipe.json")
    return runs


def _facts(run: Run) -> dict[str, Any]:
    return {
        "run": run.name,
        "path": str(run.path),
        "state": run.state,
        "step": run.step,
        "checkpoints": [path.name for path in run.checkpoints],
    }


def _names(paths: Sequence[Path]) -> str:
    return printable(", ".join(path.name for path in paths), newlines=False)


def _size(folders: Sequence[Path]) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Align rows as text; names of folders and of damaged files are not ours, so they are made printable."""
    shown = [[printable(cell, newlines=False) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )
