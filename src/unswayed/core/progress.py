"""Show how far long work is: a bar on a terminal, a line every half minute where stderr is none."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from unswayed.core.log import SAFE_STDERR, console
from unswayed.core.printable import printable

EVERY = 30.0
"""Seconds between two lines where stderr is no terminal; the first follows the first update."""
log = logging.getLogger(__name__)


class Progress:
    """Progress of work that is counted, on stderr: what, how far, how fast, how long still.

    Whatever stderr refuses is dropped, so a terminal that closes or a full disk never ends the work.

    Args:
        name: what is done.
        total: how many steps, samples or bytes there are.
        start: how many were done before.
        shown: whether to show anything.
        in_bytes: the counts are bytes; the bar then disappears at the end.
    """

    def __init__(self, name: str, total: int, start: int = 0, *, shown: bool = True, in_bytes: bool = False) -> None:
        self._name, self._total, self._start = printable(name, newlines=False), total, start
        self._shown, self._in_bytes = shown, in_bytes
        self._began = time.monotonic()
        self._next_line = self._began
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._shown and console().is_terminal:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            name, facts = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[facts]}"))
            columns = name, BarColumn(bar_width=24), facts, TimeRemainingColumn()
            self._bar = Bar(*columns, console=console(), transient=self._in_bytes, redirect_stdout=False)
            self._task = self._bar.add_task(self._name[:40], total=self._total, completed=self._start, facts="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` of the total are done, with a note such as the loss."""
        if not self._shown:
            return
        done, now = min(done, self._total), time.monotonic()
        rate = (done - self._start) / max(now - self._began, 1e-9)
        facts = ", ".join(filter(None, (f"{self._count(done)} of {self._count(self._total)}", note, self._rate(rate))))
        if self._bar is not None:
            self._bar.update(self._task, completed=done, facts=facts)
        elif now >= self._next_line:
            self._next_line = now + EVERY
            left = f", {clock((self._total - done) / rate)} left" if rate else ""
            print(f"{self._name}: {facts}{left}", file=SAFE_STDERR, flush=True)

    def _count(self, number: int) -> str:
        return size(number) if self._in_bytes else str(number)

    def _rate(self, rate: float) -> str:
        if self._in_bytes or not rate:
            return f"{size(int(rate))}/s" if rate else ""
        return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def clock(seconds: float) -> str:
    """Return a duration as people read it: `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something of unknown length is going on: a spinner on a terminal, a log message anywhere else."""
    if not console().is_terminal:
        log.info(text)
        yield
        return
    from rich.text import Text

    with console().status(Text(printable(text, newlines=False))):
        yield


@contextmanager
def library_bars(shown: bool) -> Iterator[None]:
    """Show or hide the progress bars of transformers for a while."""
    from transformers.utils import logging as library

    before = library.is_progress_bar_enabled()
    (library.enable_progress_bar if shown else library.disable_progress_bar)()
    try:
        yield
    finally:
        (library.enable_progress_bar if before else library.disable_progress_bar)()


def size(count: int) -> str:
    """Return a number of bytes as people read it, in powers of ten: `93 MB`."""
    value, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
