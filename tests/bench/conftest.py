"""Arms in threads of the test's process: no start of a process, and what is patched holds for them too."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import child, race


class Answers(Connection):
    """A pipe that says when something was sent."""

    def __init__(self, handle: int, sent: threading.Event) -> None:
        super().__init__(handle)
        self.sent = sent

    def send(self, answer: Any) -> None:
        super().send(answer)
        self.sent.set()


class InThread(threading.Thread):
    """What a race needs of a process. It is started when it has loaded: loading is not safe in two threads."""

    exitcode = None

    def __init__(self, target: Any, args: tuple[Any, Any, Connection], name: str, daemon: bool) -> None:
        where, work, pipe = args
        self.loaded = threading.Event()
        mine = Answers(os.dup(pipe.fileno()), self.loaded)  # the parent closes its own, as it does for a process
        super().__init__(target=child.run, args=(where, work, mine), name=name, daemon=daemon)

    def start(self) -> None:
        super().start()
        assert self.loaded.wait(60)

    def terminate(self) -> None:
        """End with the pipe."""


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run arms in threads, and a small probe of the machine."""
    import bench.probe

    for name in race.THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(race, "CONTEXT", SimpleNamespace(Pipe=multiprocessing.Pipe, Process=InThread))
    monkeypatch.setattr(bench.probe, "SIDES", (64,))
    monkeypatch.setattr(bench.probe, "BYTES", 1 << 20)
