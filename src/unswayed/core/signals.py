"""SIGTERM and SIGINT: the first asks, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from unswayed.core.errors import Interrupted
from unswayed.core.launcher import several

ECHO = 5.0  # seconds
NOTE = b"\nstopping once what is under way is done; the same signal again stops at once\n"


class StopSignals:
    """While active, remembers the first SIGTERM or SIGINT in `asked`; a second one ends the process with exit code 75.

    Outside the main thread, where Python allows no handlers, nothing is caught. Of a Ctrl-C, both the terminal and the
    launcher of several processes tell each of them; there, what comes within seconds of the first is the first again.
    """

    def __init__(self) -> None:
        self.asked = False
        self._echo = ECHO if several() > 1 else 0.0
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self._first = now
            with suppress(OSError):  # written as it is: a signal may come while Python itself is writing
                os.write(2, NOTE)
        elif now >= self._first + self._echo:
            os._exit(Interrupted.exit_code)  # the last periodic checkpoint stands; every file on disk is whole
        self.asked = True
