"""The state of every cell, from files alone, at any moment and while others work on them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unswayed.core.errors import ConfigError
from unswayed.core.files import lock_holder
from unswayed.sweep.cell import ABOUT, FAILED, KINDS, RAN, WORK, Cell, cell_folder, is_done, last_lines, read_cells

State = Literal["done", "running", "failed", "interrupted", "ready", "waiting", "blocked"]
STATES: tuple[State, ...] = ("done", "running", "failed", "interrupted", "ready", "waiting", "blocked")


@dataclass(frozen=True, slots=True)
class Status:
    """Where a sweep stands.

    Attributes:
        cells: in the order of the plan. `states`: one for each key.
        seconds: how long the finished cells ran, by key.
        stale: keys of folders that no cell of the plan has: made by an earlier plan.
    """

    cells: tuple[Cell, ...]
    states: Mapping[str, State]
    seconds: Mapping[str, float] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many cells of each kind are in each state; states that no cell is in are left out."""
        found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        for cell in self.cells:
            found.setdefault(cell.kind, Counter())[self.states[cell.key]] += 1
        return {
            kind: {state: count[state] for state in STATES if count[state]} for kind, count in found.items() if count
        }

    def left(self) -> float | None:
        """Return the seconds that the unfinished cells will take one after the other, by those of their kind that are
        done (scaled by the planned hours where there are any); None while a kind has none done."""
        known = {kind: self._rate(kind) for kind in {cell.kind for cell in self.cells}}
        todo = [cell for cell in self.cells if self.states[cell.key] not in {"done", "failed", "blocked"}]
        if any(known[cell.kind] is None for cell in todo):
            return None
        return sum((known[cell.kind] or 0.0) * _size(cell) for cell in todo)

    def _rate(self, kind: str) -> float | None:
        done = [cell for cell in self.cells if cell.kind == kind and cell.key in self.seconds]
        return sum(self.seconds[cell.key] for cell in done) / sum(map(_size, done)) if done else None

    def to_json(self) -> dict[str, Any]:
        """Return counts, and every cell with its state, as plain JSON."""
        return {
            "counts": self.counts(),
            "seconds": round(sum(self.seconds.values()), 3),
            "seconds_left": self.left(),
            "stale": list(self.stale),
            "cells": [
                {
                    "key": cell.key,
                    "kind": cell.kind,
                    "name": cell.name,
                    "state": self.states[cell.key],
                    "seconds": self.seconds.get(cell.key),
                }
                for cell in self.cells
            ],
        }


def _size(cell: Cell) -> float:
    return cell.cost.get("hours") or 1.0


def states_of(root: Path, cells: Sequence[Cell]) -> dict[str, State]:
    """Return the state of each cell; a cell stands after those that it needs."""
    states: dict[str, State] = {}
    for cell in cells:
        folder = cell_folder(root, cell.key)
        states[cell.key] = "done" if is_done(folder) else _unfinished(folder, [states[key] for key in cell.needs])
    return states


def _unfinished(folder: Path, needs: Sequence[State]) -> State:
    if lock_holder(folder):
        return "running"
    if any(state in {"failed", "blocked"} for state in needs):
        return "blocked"
    if (folder / FAILED).exists():
        return "failed"
    if any(state != "done" for state in needs):
        return "waiting"
    return "interrupted" if (folder / WORK).exists() else "ready"


def status(root: str | Path, cells: Sequence[Cell] | None = None) -> Status:
    """Return where the sweep in a folder stands.

    Args:
        root: the sweep's folder.
        cells: its plan, where that was read already.

    Raises:
        ConfigError: there is no sweep in the folder.
    """
    root = Path(root)
    cells = read_cells(root) if cells is None else cells
    states = states_of(root, cells)
    seconds = {cell.key: ran for cell in cells if states[cell.key] == "done" for ran in _seconds(root, cell.key)}
    return Status(tuple(cells), states, seconds, tuple(stale_keys(root, cells)))


def _seconds(root: Path, key: str) -> Iterator[float]:
    try:
        yield float(json.loads((cell_folder(root, key) / RAN).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # it says how long, and nothing depends on it


def stale_keys(root: Path, cells: Sequence[Cell]) -> list[str]:
    """Return the folders of cells that are not in the plan."""
    planned = {cell.key for cell in cells}
    try:
        return sorted(entry.name for entry in os.scandir(root / "cells") if entry.name not in planned)
    except FileNotFoundError:
        return []


def failure(root: Path, cell: Cell) -> dict[str, Any] | None:
    """Return how a failed cell ended: `code`, and the last `lines` of what it printed."""
    try:
        value: dict[str, Any] = json.loads((cell_folder(root, cell.key) / FAILED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value


def find_cell(cells: Sequence[Cell], text: str) -> Cell:
    """Return the cell whose key begins with a text, or that has this name.

    Raises:
        ConfigError: none, or several.
    """
    found = [cell for cell in cells if cell.key.startswith(text) or cell.name == text]
    if len(found) != 1:
        near = "; ".join(f"{cell.key} {cell.name}" for cell in found[:5])
        raise ConfigError(
            f"{text!r} is the key of {len(found)} cells ({near}); write more of it" if found else
            f"no cell has the key or name {text!r}; `unswayed sweep status DIR --json` lists them"
        )  # fmt: skip
    return found[0]


def why(root: str | Path, name: str, cells: Sequence[Cell] | None = None) -> dict[str, Any]:
    """Return the state of a cell with the reason: what it waits for, how it failed, which input made it stale.

    A result is stale where the folder of an earlier plan stands at the same place of the matrix under another key;
    `stale` says for each of these which inputs differ, one line each.

    Args:
        root: the sweep's folder.
        name: the cell's name, or the beginning of its key.
        cells: the plan, where that was read already.

    Raises:
        ConfigError: there is no sweep in the folder, or no such cell.
    """
    root = Path(root)
    cells = read_cells(root) if cells is None else cells
    cell = find_cell(cells, name)
    states = states_of(root, cells)
    names = {other.key: other for other in cells}
    folder = cell_folder(root, cell.key)
    return {
        "key": cell.key,
        "name": cell.name,
        "kind": cell.kind,
        "state": states[cell.key],
        "command": cell.shell,
        "folder": str(folder),
        "running": lock_holder(folder),
        "needs": [{"key": key, "name": names[key].name, "state": states[key]} for key in cell.needs],
        "failure": failure(root, cell),
        "log": last_lines(folder / "log.txt"),
        "stale": [
            {"key": key, "changed": _changed(root, found, cell)} for key, found in _earlier(root, cells, cell).items()
        ],
    }


def _earlier(root: Path, cells: Sequence[Cell], cell: Cell) -> dict[str, dict[str, Any]]:
    found = {}
    for key in stale_keys(root, cells):
        try:
            about = json.loads((cell_folder(root, key) / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if (about.get("kind"), about.get("axes")) == (cell.kind, dict(cell.axes)):
            found[key] = about
    return found


def _changed(root: Path, before: Mapping[str, Any], cell: Cell) -> list[str]:
    """Return which inputs of a cell differ from those of an earlier one, followed into what they need."""
    from unswayed.evals.results import differences  # loads scipy, which nothing else here needs

    lines = differences(before.get("inputs"), json.loads(json.dumps(cell.inputs)))
    return lines + [
        f"needs {key}, which was {old}"
        for old, key in zip(before.get("needs", ()), cell.needs, strict=False)
        if old != key
    ]
