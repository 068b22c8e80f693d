"""Data parallelism: several processes that train one adapter, and the few things that they exchange.

A launcher (torchrun, accelerate, srun) starts the same command many times and gives each process its number in the
environment. Every process holds the whole model and takes its share of a step's pairs. A loss here is a sum, divided
once by the count of the whole step, so the gradient of the step is the sum over processes, and one all-reduce of it is
all that data parallelism needs. DistributedDataParallel is not used: it averages where we add, it would reduce once for
each micro-batch, and it waits for ever for a process whose rows were all dropped. Everything else is sent as JSON.

Whatever can fail is done inside `gather`, `sync` or `on_main`: a failure of one is then the same failure of all, at the
same point, and no process waits for one that has stopped.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from unswayed.core import errors
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.launcher import environment_number, is_main, world_size
from unswayed.core.log import LOGGER
from unswayed.core.signals import SIGNALS

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PATIENCE = timedelta(hours=4)
"""How long processes wait for a message of another: it may be sampling, saving, or running a probe alone."""
JOINING = timedelta(minutes=10)
"""How long they wait for each other at the start, and inside a sum of gradients, which all begin together."""
LEAVING = timedelta(seconds=10)
"""How long the others wait at the end for process 0, which prints the results."""
LEFT = "unswayed/left"


class LostProcess(UnswayedError):
    """Another process of the run ended without a message, or cannot be reached."""


class World:
    """The processes of a run; in this class there is one.

    Attributes:
        rank: 0-based number of this process. Process 0, the main one, writes the run folder and the messages.
        size: how many there are.
    """

    rank = 0
    size = 1

    @property
    def is_main(self) -> bool:
        """Return whether this is the process that writes the run folder and the messages."""
        return self.rank == 0

    def gather(self, work: Callable[[], T]) -> list[T]:
        """Do this process's part; return the result of every process, by rank (plain JSON).

        Raises:
            UnswayedError: a process failed: its own error there, one of the same class everywhere else.
            LostProcess: a process is gone.
        """
        return [work()]

    def sync(self, work: Callable[[], T]) -> T:
        """Do this process's part and return its result, once every process has done its own; fails as `gather` does."""
        done: list[T] = []
        self.gather(lambda: done.append(work()))
        return done[0]

    def on_main(self, work: Callable[[], T]) -> T:
        """Do this in process 0 alone, while the others wait; return its result (plain JSON); fails as `gather` does."""
        results: list[Any] = self.gather(lambda: work() if self.is_main else None)
        found: T = results[0]
        return found

    def main_first(self, work: Callable[[], T]) -> T:
        """Do this in process 0, then in all others, which find what it fetched; only process 0 logs."""
        done: list[T] = []
        self.gather(lambda: done.append(work()) if self.is_main else None)
        level = LOGGER.level
        if not self.is_main:
            LOGGER.setLevel(logging.CRITICAL)
        try:
            self.gather(lambda: None if self.is_main else done.append(work()))
        finally:
            LOGGER.setLevel(level)
        return done[0]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return any(self.gather(lambda: flag))

    def same(self, what: str, value: Callable[[], str]) -> None:
        """Refuse to go on where processes differ in `value()`; it is not called where there is one process.

        Raises:
            ConfigError: naming `what`, and a process that differs from process 0.
        """
        values = self.gather(value) if self.size > 1 else []
        other = next((rank for rank, theirs in enumerate(values) if theirs != values[0]), None)
        if other is not None:
            raise ConfigError(
                f"{what} of process {other} is not that of process 0; every process needs the same files, the same "
                "versions and the same kind of device. What was saved is intact"
            )

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes, in float32, the same bits everywhere."""

    def device(self, name: str) -> str:
        """Return this process's own device where a recipe says `name`."""
        return name


class Processes(World):
    """Several connected processes. Messages go over the CPU, gradients between the devices where they are.

    Args:
        rank, size: as the launcher counts.
        local_rank: number of this process on its machine, which is that of its GPU.
        group: a gloo group of all processes, for messages.
    """

    def __init__(self, rank: int, size: int, local_rank: int, group: Any) -> None:
        self.rank, self.size, self.local_rank, self.group = rank, size, local_rank, group

    def gather(self, work: Callable[[], T]) -> list[T]:
        """Do this process's part; return the result of every process, by rank."""
        own: Exception | None = None
        sent: dict[str, Any] = {}
        try:
            sent = {"value": work()}
        except Exception as error:
            own, sent = error, {"error": type(error).__name__, "message": str(error)}
        received = self._exchange(sent)
        for rank, message in enumerate(received):
            if "error" in message:
                if rank == self.rank and own is not None:
                    raise own
                raise _theirs(rank, **message)
        return [message["value"] for message in received]

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up gradients in one message: float32 (float64 where a parameter is), in the parameters' order.

        A parameter without gradient here counts as zero, and keeps none if no process has one.

        Raises:
            LostProcess: a process is gone.
        """
        import torch
        from torch import distributed

        named = list(parameters)
        wide = torch.float64 if any(p.dtype == torch.float64 for p in named) else torch.float32
        device = named[0].device
        present = torch.tensor([p.grad is not None for p in named], dtype=wide, device=device)
        parts = [torch.zeros_like(p, dtype=wide) if p.grad is None else p.grad.to(wide) for p in named]
        flat = torch.cat([part.reshape(-1) for part in parts] + [present])
        flat = flat if flat.is_cuda else flat.cpu()
        try:
            distributed.all_reduce(flat)
        except RuntimeError as error:
            raise _lost(error) from error
        *sums, present = torch.split(flat.to(device), [*(p.numel() for p in named), len(named)])
        for parameter, total, held in zip(named, sums, present.tolist(), strict=True):
            parameter.grad = total.view_as(parameter).to(parameter.dtype) if held else None

    def device(self, name: str) -> str:
        """Return `cuda:N` with N the number of this process on its machine, or `name` where there is no GPU in it.

        Raises:
            ConfigError: a device that all processes would share.
        """
        import torch

        def own() -> tuple[str, str]:
            if name.startswith("cuda:"):
                raise ConfigError(f"model.device = {name!r} is one GPU for {self.size} processes; use 'cuda' or 'auto'")
            if name not in {"auto", "cuda"} or not torch.cuda.is_available():
                return name, f"process {self.rank}"
            count = torch.cuda.device_count()
            # A launcher may show each process its own GPU only; it is number 0 then.
            index = self.local_rank if count > 1 else 0
            if index >= count:
                raise ConfigError(
                    f"process {self.rank} is number {index} on its machine, which has {count} GPUs; start one process "
                    "for each GPU, or set model.device = 'cpu'"
                )
            torch.cuda.set_device(index)
            return f"cuda:{index}", f"{socket.gethostname()} {torch.cuda.get_device_properties(index).uuid}"

        found = self.gather(own)
        places = [place for _, place in found]
        if len(set(places)) < self.size:
            raise ConfigError(
                "two processes would compute on the same GPU; start one process for each GPU (is LOCAL_RANK set?), or "
                "set model.device = 'cpu'"
            )
        return found[self.rank][0]

    def _exchange(self, sent: Any) -> list[Any]:
        """Return the message of every process, by rank. They are sent as bytes of JSON, so nothing is unpickled."""
        import torch
        from torch import distributed

        text = torch.frombuffer(bytearray(json.dumps(sent).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        try:
            distributed.all_gather(lengths, torch.tensor([len(text)]), group=self.group)
            width = max(int(length) for length in lengths)
            padded = torch.zeros(width, dtype=torch.uint8)
            padded[: len(text)] = text
            received = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(received, padded, group=self.group)
        except RuntimeError as error:
            raise _lost(error) from error
        pairs = zip(received, lengths, strict=True)
        return [json.loads(row[: int(length)].numpy().tobytes()) for row, length in pairs]


def share(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return for each process the places of the rows it takes, in ascending order.

    Rows are dealt out from the longest to the shortest, forth and back, so that counts differ by at most one and no
    process gets all the long ones. It depends on the lengths alone, so every process computes the same shares.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    hands: list[list[int]] = [[] for _ in range(size)]
    for turn, place in enumerate(order):
        lap, seat = divmod(turn, size)
        hands[size - 1 - seat if lap % 2 else seat].append(place)
    return [sorted(hand) for hand in hands]


def together(shares: Sequence[Sequence[int]], parts: Sequence[Sequence[T]]) -> list[T]:
    """Return the results of all shares in the step's order; every row has the same number of results."""
    placed: list[tuple[int, T]] = []
    for places, made in zip(shares, parts, strict=True):
        each = len(made) // len(places) if places else 0
        placed += [(places[i // each], thing) for i, thing in enumerate(made)]
    return [thing for _, thing in sorted(placed, key=lambda pair: pair[0])]


def should_report(error: UnswayedError) -> bool:
    """Return whether this process is the one that prints an error, which is raised in all of them."""
    if is_main() or isinstance(error, LostProcess):
        return True
    # Before they were connected: one process a machine.
    return not join.cache_info().currsize and environment_number("LOCAL_RANK", 0) == 0


@cache
def join() -> World:
    """Connect with the processes that the launcher started, once for the life of this one.

    `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT` are read as torchrun sets them. Slurm's own
    variables are not: a command inside an allocation of many tasks is not thereby one of many.

    Raises:
        ConfigError: variables that are missing or contradict each other.
        LostProcess: the others cannot be reached.
    """
    size = world_size()
    if size == 1:
        return World()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    rank = environment_number("RANK", 0)
    if missing or not 0 <= rank < size:
        raise ConfigError(
            f"WORLD_SIZE is {size}, but {', '.join(missing) or f'RANK is {rank}'}"
            f"{' is not set' if missing else ''}; start the command by torchrun, or unset WORLD_SIZE for one process"
        )
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    try:
        if not distributed.is_initialized():
            store, rank, size = next(rendezvous("env://", timeout=JOINING))
            distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=JOINING)
            atexit.register(_leave, store, rank)
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        raise _lost(error) from error
    local_rank = environment_number("LOCAL_RANK", 0)
    return Processes(distributed.get_rank(), distributed.get_world_size(), local_rank, group)


def _leave(store: Any, rank: int) -> None:
    """End after process 0, which prints: launchers end all processes as soon as one ends with an error."""
    from torch import distributed

    for which in SIGNALS:
        signal.signal(which, signal.SIG_IGN)
    with suppress(Exception):
        if rank == 0:
            store.set(LEFT, "1")
        else:
            store.wait([LEFT], LEAVING)
    with suppress(Exception):
        distributed.destroy_process_group()


def _theirs(rank: int, error: str, message: str) -> UnswayedError:
    """Return another process's error as ours: the same class, so that all end with the same exit code."""
    kind = getattr(errors, error, None)
    if isinstance(kind, type) and issubclass(kind, UnswayedError):
        found: UnswayedError = kind(f"process {rank}: {message}")
        return found
    return UnswayedError(f"process {rank}: {error}: {message}")


def _lost(error: Exception) -> LostProcess:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return LostProcess(
        f"another process of this run has ended or cannot be reached ({reason}); its own message "
        "says why. What was saved is intact: start all of them again with --resume"
    )
