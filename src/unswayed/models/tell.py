"""What a person is told while a model is fetched: lines, spinners and bars on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unswayed.core.printable import printable


def say(text: str) -> None:
    """Print one line."""
    print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something of unknown length is going on: a spinner on a terminal, one line anywhere else."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        say(text)
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(printable(text), total=None)
        yield


@contextmanager
def receiving(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar over bytes, and yield the function that moves it to a number of bytes."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        say(f"{text} ({size(total)})")
        yield lambda _: None
        return
    text_column = TextColumn("{task.description}", markup=False)
    columns = text_column, BarColumn(bar_width=16), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(printable(text), total=total)
        yield lambda received: progress.update(task, completed=min(received, total))


@contextmanager
def library_bars(shown: bool) -> Iterator[None]:
    """Show or hide the progress bars of transformers for a while."""
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    try:
        yield
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def size(count: int) -> str:
    """Return a number of bytes as people read it, in powers of ten: `93 MB`."""
    value, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
