"""Runs the cells of a sweep on a Ray cluster that is there already: a task for each cell, with its CPUs and devices.

A task starts `unswayed sweep cell` as a process of its own, as Slurm does; nothing but the folder and the key is sent
to it. Every node must see the sweep's folder under the same path, and have this package.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.sweep.cell import Cell
from unswayed.sweep.executors.base import TRIES, Board, Work

POLL = 0.5  # seconds between two looks at whether a stop was asked for
GB = 1 << 30


def run_ray(work: Work, *, address: str = "auto", most: int = 0) -> None:
    """Run what is unfinished, until all of it is done, failed or blocked, or a stop was asked for.

    Args:
        work: what to do.
        address: of the cluster, as for `ray.init`; one that this process is connected to already is used as it is.
        most: tasks at once; 0 leaves that to the cluster.

    Raises:
        ConfigError: Ray is not installed, or no cluster is at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is not installed: pip install 'unswayed[ray]'") from error
    own = not ray.is_initialized()
    if own:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`") from error
    try:
        _Cluster(work, ray, most).run()
    finally:
        if own:
            ray.shutdown()


def _task(words: list[str]) -> int:
    """Run a command on the node where Ray put it; a cancelled task ends its command gently, so that it saves."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


class _Cluster:
    """One call of the executor."""

    def __init__(self, work: Work, ray: Any, most: int) -> None:
        self._work, self._ray, self._most = work, ray, most or len(work.cells)
        self._board = Board(work.root, work.cells)
        self._ready = self._board.startable()[::-1]
        self._ready += [self._board.cells[key] for key, state in self._board.states.items() if state == "running"]
        self._running: dict[Any, Cell] = {}
        self._tries: Counter[str] = Counter()
        self._remote = ray.remote(max_retries=0)(_task)

    def run(self) -> None:
        """Work until nothing more can be done."""
        while True:
            self._start()
            self._work.watch(self._board.states)
            if not self._running:
                return
            ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL)
            for task in ended:
                self._collect(task)
            if self._work.stop():
                self._stop()

    def _start(self) -> None:
        while self._ready and len(self._running) < self._most and not self._work.stop():
            cell = self._ready.pop()
            words = [sys.executable, "-m", "unswayed", "sweep", "cell", str(self._work.root.resolve()), cell.key]
            task = self._remote.options(
                num_cpus=1, num_gpus=cell.devices, memory=int(cell.memory * GB) or None, name=cell.name
            ).remote(words)
            self._board.running(cell.key)
            self._running[task] = cell

    def _collect(self, task: Any) -> None:
        """Read from the files how a cell ended; a task that Ray lost, with its node or its worker, is begun again."""
        cell = self._running.pop(task)
        self._ready += self._board.ended(cell.key)[::-1]
        self._tries[cell.key] += 1
        if self._board.states[cell.key] == "interrupted" and self._tries[cell.key] < TRIES:
            self._ready.append(cell)

    def _stop(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=False)
        self._ray.wait(list(self._running), num_returns=len(self._running))
        self._running.clear()
