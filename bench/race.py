"""The parent's side of a race: a child process for each arm, all loaded, and only one of them computing at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from bench.child import Where, serve
from unswayed.core.errors import ConfigError, UnswayedError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PROBE = "probe"
CONTEXT = multiprocessing.get_context("spawn")


def progress(line: str) -> None:
    """Print one line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)


def choose(names: Sequence[str] | None, known: Sequence[str], always: str) -> list[str]:
    """Return the arms to run: all that are known, or the named ones and ours.

    Raises:
        ConfigError: an unknown arm.
    """
    if unknown := [name for name in names or () if name not in known]:
        raise ConfigError(f"arms {', '.join(unknown)}: there are {', '.join(known)}")
    return [name for name in known if names is None or name in {always, *names}]


class Child:
    """One arm in a process of its own.

    Attributes:
        facts: what it reported when everything was loaded.
        steps: what it reported after each step.
    """

    def __init__(self, name: str, where: Where, work: Any) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        self.steps: list[dict[str, Any]] = []
        for variable in THREAD_VARIABLES:  # read by the child when it loads torch
            os.environ[variable] = str(work.threads)
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=serve, args=(where, work, theirs), name=name, daemon=True)
        self.process.start()
        theirs.close()

    def ready(self) -> str | None:
        """Wait until everything is loaded; return the library that is missing, or None."""
        kind, answer = self._answer()
        if kind == "missing":
            return str(answer)
        self.facts = answer
        return None

    def ask(self, order: Any = None) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Raises:
            UnswayedError: the child failed or ended; its traceback is in the message.
        """
        self.pipe.send(order)
        return dict(self._answer()[1])

    def _answer(self) -> tuple[str, Any]:
        try:
            kind, answer = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            raise UnswayedError(
                f"arm {self.name} ended without an answer (exit code {self.process.exitcode}); -9 usually means that "
                "memory ran out: take fewer arms or a smaller setting"
            ) from error
        if kind == "error":
            raise UnswayedError(f"arm {self.name} failed:\n{answer}")
        return kind, answer

    def close(self, *, stop: bool = False) -> None:
        """End the process: by closing its pipe, or at once where `stop`."""
        if stop:
            self.process.terminate()
        self.pipe.close()
        self.process.join(timeout=30)


def alone(name: str, where: Where, work: Any) -> dict[str, Any]:
    """Run an arm that answers one order in a fresh process, and return its answer.

    Raises:
        UnswayedError: it failed, or a library is missing.
    """
    child, stop = Child(name, where, work), True
    try:
        if missing := child.ready():
            raise UnswayedError(f"arm {name}: {missing}")
        answer = child.ask()
        stop = False
        return answer
    finally:
        child.close(stop=stop)


class Race:
    """Arms that take steps in turn, and a probe that measures the machine in the same rounds.

    Args:
        names: the arms to run.
        work: what every child receives; has `threads`, `steps` and `dtype`.
        where: the module of each arm.

    Attributes:
        missing: why an arm could not be run at all.
    """

    def __init__(self, names: Sequence[str], work: Any, where: Mapping[str, Where]) -> None:
        self.work = work
        self.arms = {name: Child(name, where[name], work) for name in names}
        self.probe = Child(PROBE, ("bench.probe", {}), work)
        self.missing: dict[str, str] = {}

    def run(self, warmup: int) -> None:
        """Let the arms take their steps alternately, each round beginning with the next arm."""
        names = list(self.arms)
        for number in range(self.work.steps):
            self.probe.steps.append(self.probe.ask())
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                step = self.arms[name].ask(number)
                self.arms[name].steps.append(step)
                what = "warm-up" if number < warmup else f"round {number + 1 - warmup}"
                tokens = sum(map(len, step.get("completions", ())))
                progress(f"{what}: {name} {step['seconds']:.2f} s" + (f", {tokens} tokens" if tokens else ""))

    def check(self, order: Any = None) -> dict[str, dict[str, Any]]:
        """Return each arm's answer to the same order."""
        return {name: child.ask(order) for name, child in self.arms.items()}

    def __enter__(self) -> Self:
        try:
            self.missing = {name: reason for name, child in self.arms.items() if (reason := child.ready())}
            self.probe.ready()
        except UnswayedError:
            self._close(stop=True)
            raise
        for name, reason in self.missing.items():
            progress(f"{name}: left out, {reason}")
            self.arms.pop(name).close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close(stop=kind is not None)

    def _close(self, *, stop: bool) -> None:
        for child in (*self.arms.values(), self.probe):
            child.close(stop=stop)
