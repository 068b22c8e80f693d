"""Log messages on stderr, and a stderr whose failing writes end nothing.

Every module logs to `logging.getLogger(__name__)`, below the logger `unswayed`: info is what a person wants to know,
warning is what is odd but no error. Only the command line calls `show_logs`; a Python program configures logging
itself, and without that Python prints warnings and drops the rest.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from unswayed.core.launcher import environment_number, is_main
from unswayed.core.printable import printable, without_passwords

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = logging.getLogger("unswayed")


class SafeStderr:
    """The current `sys.stderr`; what cannot be written there (terminal closed, disk full, broken pipe) is dropped."""

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        with suppress(OSError, ValueError):
            _stderr().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what could not be written."""
        with suppress(OSError, ValueError):
            _stderr().flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(_stderr(), name)


def _stderr() -> Any:
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # under a bar, Rich puts a proxy of the console there


SAFE_STDERR = SafeStderr()


@cache
def console() -> Console:
    """Return the one console on stderr; messages that are printed through it appear above a progress bar."""
    from rich.console import Console

    return Console(file=SAFE_STDERR)  # type: ignore[arg-type]


class LogHandler(logging.Handler):
    """Prints messages to stderr, made printable: coloured on a terminal, as plain unwrapped lines anywhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message; a process that is not the main one says which it is."""
        text = printable(without_passwords(self.format(record)))
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        if not is_main():
            text = f"process {environment_number('RANK', 0)}: {text}"
        if not SAFE_STDERR.isatty():
            print(text, file=SAFE_STDERR, flush=True)
            return
        style = "yellow" if record.levelno >= logging.WARNING else "dim" if record.levelno < logging.INFO else None
        console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def show_logs(level: int = logging.INFO) -> None:
    """Print this package's messages of at least `level` to stderr. Calling it again replaces the earlier call."""
    LOGGER.handlers[:] = [LogHandler()]
    LOGGER.propagate = False
    LOGGER.setLevel(level)
