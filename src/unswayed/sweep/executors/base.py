"""What every executor needs to know of a sweep: which cells may start, which are done, which never will be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unswayed.sweep.cell import FAILED, Cell, cell_folder, is_done
from unswayed.sweep.states import State, states_of

Watch = Callable[[Mapping[str, State]], None]
"""Called with the states as they change, by an executor that stays."""
TRIES = 3
"""How often one call starts a command that saved and ended by itself, or was ended by a signal."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an executor is to do.

    Attributes:
        root: the sweep's folder. `cells`: those that others need first.
        watch: called with the states as they change.
        stop: whether the person asked to end.
    """

    root: Path
    cells: Sequence[Cell]
    watch: Watch
    stop: Callable[[], bool]


class Board:
    """The states of a sweep's cells, kept up to date as they end, in time that does not grow with their number."""

    def __init__(self, root: Path, cells: Sequence[Cell]) -> None:
        self.root = root
        self.cells = {cell.key: cell for cell in cells}
        self.states = states_of(root, cells)
        self._dependents: dict[str, list[str]] = {key: [] for key in self.cells}
        for cell in cells:
            for key in cell.needs:
                self._dependents[key].append(cell.key)

    def startable(self) -> list[Cell]:
        """Return the cells whose command may be started now, in the order of the plan."""
        return [cell for key, cell in self.cells.items() if self.states[key] in {"ready", "interrupted"}]

    def running(self, key: str) -> None:
        """Note that a cell was started."""
        self.states[key] = "running"

    def ended(self, key: str) -> list[Cell]:
        """Read from the files how a cell ended, and return the cells that may be started because of it."""
        folder = cell_folder(self.root, key)
        if is_done(folder):
            self.states[key] = "done"
            return self._released(key)
        if (folder / FAILED).exists():
            self.states[key] = "failed"
            self._block(key)
        else:
            self.states[key] = "interrupted"
        return []

    def _released(self, key: str) -> list[Cell]:
        found = []
        for below in self._dependents[key]:
            cell = self.cells[below]
            if self.states[below] == "waiting" and all(self.states[need] == "done" for need in cell.needs):
                self.states[below] = "ready"
                found.append(cell)
        return found

    def _block(self, key: str) -> None:
        todo = list(self._dependents[key])
        while todo:
            below = todo.pop()
            if self.states[below] != "blocked":
                self.states[below] = "blocked"
                todo += self._dependents[below]
