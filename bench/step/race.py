"""The parent's side: one process for each arm, all loaded, and never more than one of them at work."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from bench.step.worker import ARMS, PROBE, Where, serve
from unswayed.core.errors import UnswayedError

Say = Callable[[str], None]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Arm:
    """One child. `facts` is what it said when it was ready, `steps` what it said after each step."""

    name: str
    process: BaseProcess
    pipe: Connection
    facts: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, order: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        self.pipe.send(order)
        kind, answer = self.answer()
        if kind != "done":
            raise UnswayedError(f"arm {self.name} failed:\n{answer}")
        return dict(answer)

    def answer(self) -> tuple[str, Any]:
        """Return the kind of the child's next message, and the message."""
        try:
            kind, answer = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            raise UnswayedError(
                f"arm {self.name} ended without a word (exit code {self.process.exitcode}); -9 usually means that "
                "memory ran out: take fewer arms (--arms) or fewer pairs (--pairs)"
            ) from error
        if kind == "error":
            raise UnswayedError(f"arm {self.name} failed:\n{answer}")
        return kind, answer


class Race:
    """Children that take steps in turn. `missing` says why an arm could not be run at all.

    Args:
        names: the arms, the probe of the machine apart.
        work: what every child is given; has `threads` and `steps`.
        say: hears how far it is.
        arms: where each of them is.
    """

    def __init__(self, names: Sequence[str], work: Any, say: Say, arms: Mapping[str, Where] = ARMS) -> None:
        self.work, self.say, self.where = work, say, arms
        self.arms: dict[str, Arm] = {}
        self.missing: dict[str, str] = {}
        for variable in THREAD_VARIABLES:  # read once by each child when it loads torch
            os.environ[variable] = str(work.threads)
        for name in (*names, PROBE):
            self._start(name)

    def _start(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(target=serve, args=(self.where[name], self.work, theirs), name=name, daemon=True)
        process.start()
        theirs.close()
        arm = Arm(name, process, pipe)
        kind, facts = arm.answer()
        if kind == "missing":
            self.missing[name] = facts
            self.say(f"{name}: left out, {facts}")
            return
        arm.facts = facts
        self.arms[name] = arm

    def run(self, warmup: int) -> None:
        """Let the arms take their steps alternately, each round beginning with another one."""
        names = list(self.arms)
        for number in range(self.work.steps):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                step = self.arms[name].ask(number)
                self.arms[name].steps.append(step)
                if name != PROBE:
                    what = "warm-up" if number < warmup else f"step {number + 1 - warmup}"
                    tokens = sum(map(len, step.get("completions", ())))
                    self.say(f"{what}: {name} {step['seconds']:.2f} s" + (f", {tokens} tokens" if tokens else ""))

    def check(self, completions: Sequence[Sequence[int]]) -> dict[str, dict[str, Any]]:
        """Return what each arm makes of the same completions."""
        return {name: arm.ask(completions) for name, arm in self.arms.items() if name != PROBE}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for arm in self.arms.values():
            if kind is not None:
                arm.process.terminate()
            arm.pipe.close()
            arm.process.join(timeout=30)
