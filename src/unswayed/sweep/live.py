"""Shows where a running sweep stands: one table that is redrawn on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from unswayed.core.log import SAFE_STDERR, console
from unswayed.core.printable import printable
from unswayed.core.progress import EVERY, clock
from unswayed.sweep.cell import KINDS, Cell
from unswayed.sweep.states import STATES, State

if TYPE_CHECKING:
    from rich.table import Table

REDRAWN = 1.0  # seconds
SHOWN = 8  # running cells that are named


class Live:
    """A context manager whose `update` is what an executor calls with the states as they change.

    Args:
        name: the sweep's.
        cells: in the order of the plan.
        shown: whether to show anything.
    """

    def __init__(self, name: str, cells: Sequence[Cell], *, shown: bool = True) -> None:
        self._name, self._cells, self._shown = name, cells, shown
        self._began = self._next = time.monotonic()
        self._first: int | None = None
        self._live: Any = None

    def __enter__(self) -> Live:
        if self._shown and console().is_terminal:
            from rich.live import Live as Display

            self._live = Display(console=console(), auto_refresh=False, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, states: Mapping[str, State]) -> None:
        """Show the states, if the last time is long enough ago or everything has ended."""
        now = time.monotonic()
        counts: Counter[str] = Counter(states.values())
        self._first = counts["done"] if self._first is None else self._first
        if not self._shown or (now < self._next and counts["done"] + counts["failed"] < len(states)):
            return
        self._next = now + (EVERY if self._live is None else REDRAWN)
        if self._live is None:
            print(f"{self._name}: {self._line(counts)}", file=SAFE_STDERR, flush=True)
        else:
            self._live.update(self._table(states, counts), refresh=True)

    def _line(self, counts: Mapping[str, int]) -> str:
        parts = [f"{counts[state]} {state}" for state in STATES if counts.get(state)]
        return ", ".join([*parts, *self._left(counts)])

    def _left(self, counts: Mapping[str, int]) -> list[str]:
        """Return the time left, by how many cells ended since this call began."""
        ended = counts["done"] - (self._first or 0)
        todo = sum(counts[state] for state in ("running", "interrupted", "ready", "waiting"))
        return [f"{clock((time.monotonic() - self._began) / ended * todo)} left"] if ended and todo else []

    def _table(self, states: Mapping[str, State], counts: Mapping[str, int]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        present = [state for state in STATES if counts.get(state)]
        table = Table("", *present, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.title = Text(
            printable(f"{self._name}: {', '.join([f'{len(states)} cells', *self._left(counts)])}", newlines=False)
        )
        for kind in KINDS:
            found = Counter(states[cell.key] for cell in self._cells if cell.kind == kind)
            if found:
                table.add_row(kind, *(str(found[state] or "") for state in present))
        running = [cell.name for cell in self._cells if states[cell.key] == "running"]
        more = [f"and {len(running) - SHOWN} more"] if len(running) > SHOWN else []
        table.caption = Text(printable("\n".join([*running[:SHOWN], *more])), justify="left")
        return table
