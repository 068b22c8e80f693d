"""Runs the cells of a sweep on this machine: one process for each slot, the largest that fits first.

A slot is a file lock that the command inherits, so the slot of a command that outlived a killed `sweep run` stays
taken until that command ends, and two calls never put two commands on one device.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass

from unswayed.core.errors import ConfigError, LockedError
from unswayed.core.files import lock_holder, locked
from unswayed.sweep.cell import Cell, cell_folder, run_cell
from unswayed.sweep.executors.base import TRIES, Board, Work

POLL = 0.5  # seconds between two looks at cells and slots that other processes hold


@dataclass(frozen=True, slots=True)
class Slots:
    """What this machine lends.

    Attributes:
        count: commands at once.
        devices: ids of accelerators, at least one for each slot, or none where the commands see what this process sees.
        memory: GB that the commands may take together; infinite where nobody counts.
    """

    count: int = 1
    devices: tuple[str, ...] = ()
    memory: float = float("inf")

    def check(self, cells: Sequence[Cell]) -> None:
        """Refuse cells that would never fit.

        Raises:
            ConfigError: one needs more memory or devices than there are.
        """
        for cell in cells:
            if cell.memory > self.memory:
                raise ConfigError(f"{cell.name} takes {cell.memory:g} GB, and --memory lends {self.memory:g}")
            if self.slots_of(cell) > self.count:
                raise ConfigError(f"{cell.name} takes {cell.devices} devices, and there are {self.count} slots")

    def slots_of(self, cell: Cell) -> int:
        """Return how many slots a cell takes: one for each device, and one where it needs none."""
        return max(cell.devices, 1)

    def environment(self, places: Sequence[int]) -> dict[str, str]:
        """Return what tells a command which devices are its own."""
        if not self.devices:
            return {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.devices[place] for place in places)}


class _Machine:
    """The slots of this process and the locks that hold them."""

    def __init__(self, work: Work, slots: Slots, stack: ExitStack) -> None:
        self._work, self._slots, self._stack = work, slots, stack
        self._locks: dict[int, int] = {}
        self.free: set[int] = set()
        self.memory = slots.memory
        self.take()

    def take(self) -> None:
        """Take the slots that no other process holds."""
        for place in range(self._slots.count):
            if place not in self._locks:
                try:
                    lock = locked(self._work.root / "slots" / str(place))
                    self._locks[place] = self._stack.enter_context(lock)
                except LockedError:
                    continue
                self.free.add(place)

    def fits(self, cell: Cell) -> bool:
        """Return whether a cell may start now."""
        return self._slots.slots_of(cell) <= len(self.free) and cell.memory <= self.memory

    def reserve(self, cell: Cell) -> tuple[int, ...]:
        """Give a cell its slots."""
        places = tuple(sorted(self.free)[: self._slots.slots_of(cell)])
        self.free -= set(places)
        self.memory -= cell.memory
        return places

    def release(self, cell: Cell, places: Sequence[int]) -> None:
        """Take a cell's slots back."""
        self.free |= set(places)
        self.memory += cell.memory

    def run(self, cell: Cell, places: Sequence[int]) -> int:
        """Run a cell in its slots."""
        return run_cell(
            self._work.root,
            cell,
            environment=self._slots.environment(places),
            keep=[self._locks[place] for place in places],
            stop=self._work.stop,
        )


class _Queue:
    """Cells that may start: those that take most memory first, then in the order of the plan."""

    def __init__(self, order: Mapping[str, int]) -> None:
        self._order = order
        self._heap: list[tuple[float, int, Cell]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, cell: Cell) -> None:
        """Add a cell."""
        heapq.heappush(self._heap, (-cell.memory, self._order[cell.key], cell))

    def take(self, machine: _Machine) -> Cell | None:
        """Return the first cell that fits, or None."""
        passed, found = [], None
        while self._heap and machine.free and found is None:
            entry = heapq.heappop(self._heap)
            if machine.fits(entry[2]):
                found = entry[2]
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found


class _Local:
    """One call of the executor."""

    def __init__(self, work: Work, machine: _Machine, pool: ThreadPoolExecutor) -> None:
        self._work, self._machine, self._pool = work, machine, pool
        self._board = Board(work.root, work.cells)
        self._queue = _Queue({cell.key: place for place, cell in enumerate(work.cells)})
        self._add(self._board.startable())
        self._elsewhere = {key for key, state in self._board.states.items() if state == "running"}
        self._running: dict[Future[int], tuple[Cell, tuple[int, ...]]] = {}
        self._tries: Counter[str] = Counter()
        self._looked = time.monotonic()

    def run(self) -> None:
        """Work until nothing more can be done."""
        while True:
            self._start()
            self._work.watch(self._board.states)
            if not self._running and (self._work.stop() or not (self._queue or self._elsewhere)):
                return
            if self._running:
                for future in wait(self._running, POLL, FIRST_COMPLETED).done:
                    self._collect(future)
            else:
                time.sleep(POLL)
            if time.monotonic() > self._looked + POLL:
                self._looked = time.monotonic()
                self._look()

    def _add(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._queue.add(cell)

    def _start(self) -> None:
        while not self._work.stop() and (cell := self._queue.take(self._machine)) is not None:
            places = self._machine.reserve(cell)
            self._board.running(cell.key)
            self._running[self._pool.submit(self._machine.run, cell, places)] = (cell, places)

    def _collect(self, future: Future[int]) -> None:
        """Take note of how a command ended."""
        cell, places = self._running.pop(future)
        self._machine.release(cell, places)
        try:
            future.result()
        except LockedError:
            self._elsewhere.add(cell.key)
            return
        self._note(cell.key)

    def _look(self) -> None:
        """Look what other processes have given back: slots, and cells that they ran."""
        self._machine.take()
        for key in [key for key in self._elsewhere if not lock_holder(cell_folder(self._work.root, key))]:
            self._elsewhere.remove(key)
            self._note(key)

    def _note(self, key: str) -> None:
        self._add(self._board.ended(key))
        self._tries[key] += 1
        if self._board.states[key] == "interrupted" and self._tries[key] < TRIES:
            self._queue.add(self._board.cells[key])


def run_local(work: Work, slots: Slots) -> None:
    """Run what is unfinished, until all of it is done, failed or blocked, or a stop was asked for.

    Raises:
        ConfigError: a cell that never fits.
    """
    slots.check(work.cells)
    with ExitStack() as stack, ThreadPoolExecutor(slots.count) as pool:
        _Local(work, _Machine(work, slots, stack), pool).run()
