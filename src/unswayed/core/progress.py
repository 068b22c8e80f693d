"""The progress bar of long work, on stderr: what, how far, how fast, how long still."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A bar over optimizer steps with loss and rate. Silent where `shown` is false."""

    def __init__(self, name: str, total: int, start: int, *, shown: bool) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._task = self._bar.add_task(name, total=total, completed=start, note="")
        self._seconds = 0.0
        self._steps = 0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, row: Mapping[str, Any]) -> None:
        """Show one finished step."""
        self._seconds += row["seconds"]["step"]
        self._steps += 1
        note = f"loss {row['loss']:.3f}  {self._seconds / self._steps:.1f} s/step"
        self._bar.update(self._task, advance=1, note=note)
