"""The one owner of SIGTERM, SIGINT and SIGHUP in a process: the first asks to stop, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from unswayed.core.errors import Interrupted
from unswayed.core.launcher import world_size

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ECHO = 5.0  # seconds
NOTE = b"\nstopping once what is under way is done; the same signal again stops at once\n"


class StopSignals:
    """A context manager that remembers the first signal in `asked`; a second one ends the process with exit code 75.

    There is one, `stop_signals`. It is entered around all work that can be interrupted and resumed, also inside of
    such work (a suite as a probe of a training run), and only the outermost scope puts the handlers before it back.
    `asked` stays set until an exception has left that scope, so a signal that arrives after the last look at `asked`
    stops what the process does next. Outside the main thread, where Python allows no handlers, nothing is caught.

    Work that changes nothing until it is whole may be put into a `discarding` scope: inside it, `look` ends the work at
    once, and it is done again after a resume.

    The launcher of several processes sends each of them what the terminal has sent them already; there, a signal
    within seconds of the first counts as the first. A terminal that closes may send SIGHUP more than once, so that one
    never counts as the second; where it is ignored (nohup), it stays ignored.
    """

    def __init__(self) -> None:
        self.asked = False
        self._depth = 0
        self._discards = False
        self._first: float | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            if self._depth == 0:
                self._first = None
                for number in SIGNALS:
                    if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                        self._before[number] = signal.signal(number, self._on_signal)
            self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            self._depth -= 1
            if self._depth == 0:
                while self._before:
                    signal.signal(*self._before.popitem())
                self.asked = self.asked and kind is None

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Let `look` end the work inside, of which nothing is kept."""
        before, self._discards = self._discards, True
        try:
            yield
        finally:
            self._discards = before

    def look(self) -> None:
        """End the work of a `discarding` scope if a signal came; elsewhere this does nothing.

        Raises:
            Interrupted: see above.
        """
        if self._discards and self.asked:
            raise Interrupted("stopped by a signal; what was under way is done again after a resume")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            with suppress(OSError):  # written as it is: a signal may come while Python itself is writing
                os.write(2, NOTE)
        elif number != signal.SIGHUP and now >= self._first + (ECHO if world_size() > 1 else 0.0):
            os._exit(Interrupted.exit_code)  # the last periodic checkpoint stands; every file on disk is whole
        self.asked = True


stop_signals = StopSignals()
