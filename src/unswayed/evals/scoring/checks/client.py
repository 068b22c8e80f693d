"""The worker process that checks answers, seen from the run.

A model may write `9^{9^{9^9}}`: computing it blocks inside C code, where no exception of ours arrives, and a signal
handler would not work off the main thread. So a second process does the checking. It is killed by the kernel, not by
us, once a check has used up its processor time (see `worker`), and the next request starts another. What could not be
checked is reported with a reason and never counts as right or wrong.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import unswayed
from unswayed.core.errors import ConfigError, UnswayedError

LONGEST = 100_000
"""Characters of one request's text; longer answers are not checked."""
SECONDS = 5.0
"""Processor time of one check."""
EXTRA = "capability"


def require(suite: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the packages that a suite's checks need; they belong to its identity.

    Args:
        suite: its name, for the message.
        modules: what is imported, and the package that has it.

    Raises:
        ConfigError: one is not installed.
    """
    missing = [package for module, package in modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"{suite} needs {', '.join(missing)}: pip install 'unswayed[{EXTRA}]'")
    return {package: importlib.metadata.version(package) for package in modules.values()}


class Worker:
    """One worker process, started when it is first asked and again after it died. Threads take turns."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def ask(self, kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the worker found, or `{"reason": …}` where it could not say.

        Raises:
            UnswayedError: no worker can be started.
        """
        line = json.dumps({"kind": kind, "request": dict(request)})
        if len(line) > LONGEST:
            return {"reason": "too long to check"}
        with self._turn:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = ""
            if not answer.endswith("\n"):
                return {"reason": self._ended()}
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Let the process go."""
        with self._turn:
            self._stop()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None and self._owner == os.getpid():
            return self._process
        source = str(Path(unswayed.__file__).parents[1])
        paths = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unswayed.evals.scoring.checks.worker", str(self.seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt from the terminal is for the run, which then ends the worker
        )
        self._owner = os.getpid()
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._stop()
            raise UnswayedError(
                f"the process that checks answers does not start; try: {sys.executable} -c 'import sympy'"
            )
        return self._process

    def _ended(self) -> str:
        """Return why a worker that gives no answer is gone: only its timer means that the check took too long."""
        assert self._process is not None
        try:
            code: int | None = self._process.wait(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            code = None
        self._stop()
        if code == -signal.SIGPROF:
            return "checking took too long"
        if code == -signal.SIGKILL:
            return "the check was killed, as happens where memory runs out"
        return "the check ended without an answer"

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


WORKER = Worker()
atexit.register(WORKER.close)
