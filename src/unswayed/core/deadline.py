"""Limit the time of code that a file from outside decides about: a chat template's loops, a regular expression."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooLong(Exception):
    """The time is over. Its text says how much there was."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `TooLong` where the block takes longer.

    The alarm signal interrupts Python code, and a regular expression in the middle of a match. Only the main thread
    receives signals; in any other there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_: int, __: FrameType | None) -> None:
        raise TooLong(f"it took more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
