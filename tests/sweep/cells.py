"""Sweeps made of small programs instead of trainings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unswayed.sweep.cell import Cell, write_cells


def empty(count: int, chain: int = 4) -> list[Cell]:
    """Return cells that do nothing, in chains of organism, label, train and eval."""
    kinds = ("organism", "label", "train", "eval")
    cells: list[Cell] = []
    for number in range(count):
        place = number % chain
        needs = (cells[-1].key,) if place else ()
        kind = kinds[place]
        cells.append(Cell(kind, f"{kind} {number}", {"number": number}, ("true",), needs, axes={"seed": number}))
    return cells


def script(name: str, text: str, needs: Sequence[Cell] = (), kind: str = "train", **more: object) -> Cell:
    """Return a cell that runs a shell script in its folder."""
    inputs = {"name": name, "text": text}
    return Cell(kind, name, inputs, ("sh", "-c", text), tuple(cell.key for cell in needs), **more)  # type: ignore[arg-type]


def planned(root: Path, cells: Sequence[Cell]) -> Path:
    """Write the plan of a sweep."""
    root.mkdir(parents=True, exist_ok=True)
    write_cells(root, cells)
    return root
