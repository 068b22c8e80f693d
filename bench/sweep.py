"""What a sweep of empty cells costs: planned, run and summarised, in milliseconds of our own a cell.

python -m bench.sweep [CELLS]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unswayed.sweep.cell import Cell, read_cells, write_cells
from unswayed.sweep.executors.base import Work
from unswayed.sweep.executors.local import Slots, run_local
from unswayed.sweep.states import status

KINDS = ("organism", "label", "train", "eval")


def cells(count: int) -> list[Cell]:
    """Return cells that do nothing, in chains of four."""
    found: list[Cell] = []
    for number in range(count):
        place = number % len(KINDS)
        needs = (found[-1].key,) if place else ()
        kind = KINDS[place]
        found.append(Cell(kind, f"{kind} {number}", {"number": number}, ("true",), needs))
    return found


def bare(count: int) -> float:
    """Return the seconds that starting `true` takes without us."""
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(["true"], check=True, start_new_session=True)
    return (time.perf_counter() - began) / count


def measure(root: Path, count: int, slots: int) -> dict[str, float]:
    """Return milliseconds a cell of each part, and what the whole took in memory and files."""
    taken: dict[str, float] = {}

    def timed(name: str, began: float) -> float:
        taken[name] = 1e3 * (time.perf_counter() - began) / count
        return time.perf_counter()

    at = time.perf_counter()
    write_cells(root, cells(count))
    at = timed("plan", at)
    planned = read_cells(root)
    run_local(Work(root, planned, lambda _: None, lambda: False), Slots(slots))
    at = timed("run", at)
    assert status(root, planned).counts()["eval"] == {"done": count // len(KINDS)}
    timed("status", at)
    taken["command alone"] = 1e3 * bare(min(count, 500))
    taken["MB resident at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    taken["files a cell"] = sum(1 for path in root.rglob("*") if path.is_file()) / count
    return taken


def main() -> None:
    """Print the costs at one size and at a tenth of it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for size in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder:
            taken = measure(Path(folder), size, slots=2)
            print(json.dumps({"cells": size, **{name: round(value, 3) for name, value in taken.items()}}))


if __name__ == "__main__":
    main()
