"""Several processes that train one adapter: who each of them is, and the few things they tell one another.

A launcher (torchrun, accelerate, srun) starts the same command many times and says through the environment which of
them each is. Every process holds the whole model and takes its share of a step's pairs. A loss here is a sum, divided
once by the count of the whole step, so the gradient of the step is the sum over processes, and one all-reduce of it is
all that data parallelism needs. DistributedDataParallel is not used: it averages where we add, it would reduce once for
each micro-batch, and it waits for ever for a process whose rows were all dropped. Everything else travels as JSON.

Whatever can fail is done inside `each`, `agree` or `first`: a failure of one is then the same failure of all, at the
same point, and nobody waits for a process that has stopped.
"""

from __future__ import annotations

import atexit
import json
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
from unswayed.core.launcher import leads, number, several

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PATIENCE = timedelta(hours=4)
"""How long processes wait for a word of another: it may be sampling, saving, or looking at a suite alone."""
JOINING = timedelta(minutes=10)
"""How long they wait for each other at the start, and inside a sum of gradients, which all begin together."""
LEAVING = timedelta(seconds=10)
"""How long the others wait at the end for process 0, which may still be speaking."""
LEFT = "unswayed/left"


class LostProcess(UnswayedError):
    """Another process of the run ended without a word, or cannot be reached."""


class World:
    """The processes of a run; this one is alone, and hears only itself.

    Attributes:
        rank: 0-based number of this process. Process 0 writes the run folder and speaks to the user.
        size: how many there are.
    """

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Return whether this is the process that writes and speaks."""
        return self.rank == 0

    def each(self, work: Callable[[], T]) -> list[T]:
        """Do this process's part; return what every process's part gave, by rank (plain JSON)."""
        return [work()]

    def agree(self, work: Callable[[], T]) -> T:
        """Do this process's part and return it, once every process has done its own."""
        return work()

    def first(self, work: Callable[[], T]) -> T:
        """Let process 0 alone do this; return what it gave, everywhere (plain JSON)."""
        return work()

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do this everywhere, in process 0 first: what it fetches, the others find."""
        return work()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return flag

    def same(self, what: str, value: Callable[[], str]) -> None:
        """Refuse to go on where processes differ in `value()`.

        Raises:
            ConfigError: naming `what`.
        """

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes, in float32, the same bits everywhere."""

    def device(self, name: str) -> str:
        """Return this process's own device where a recipe says `name`."""
        return name


class Processes(World):
    """Several of them, connected. Words go over the CPU, gradients between the devices where they lie.

    Args:
        rank, size: as the launcher counts.
        local_rank: number of this process on its machine, which is that of its GPU.
        words: a gloo group of all processes.
    """

    def __init__(self, rank: int, size: int, local_rank: int, words: Any) -> None:
        self.rank, self.size, self.local_rank, self.words = rank, size, local_rank, words

    def each(self, work: Callable[[], T]) -> list[T]:
        """Do this process's part; return what every process's part gave, by rank.

        Raises:
            UnswayedError: a process failed: its own error there, one of the same class everywhere else.
            LostProcess: a process is gone.
        """
        mine: Exception | None = None
        said: dict[str, Any] = {}
        try:
            said = {"value": work()}
        except Exception as error:
            mine, said = error, {"error": type(error).__name__, "message": str(error)}
        heard = self._exchange(said)
        for rank, words in enumerate(heard):
            if "error" in words:
                if rank == self.rank and mine is not None:
                    raise mine
                raise _theirs(rank, **words)
        return [words["value"] for words in heard]

    def agree(self, work: Callable[[], T]) -> T:
        """Do this process's part and return it, once every process has done its own; fails as `each` does."""
        done: list[T] = []
        self.each(lambda: done.append(work()))
        return done[0]

    def first(self, work: Callable[[], T]) -> T:
        """Let process 0 alone do this, while the others wait; fails as `each` does."""
        answers: list[Any] = self.each(lambda: work() if self.leads else None)
        found: T = answers[0]
        return found

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do this in process 0, then in all others; fails as `each` does."""
        done: list[T] = []
        self.each(lambda: done.append(work()) if self.leads else None)
        self.each(lambda: None if self.leads else done.append(work()))
        return done[0]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return any(self.each(lambda: flag))

    def same(self, what: str, value: Callable[[], str]) -> None:
        """Refuse to go on where processes differ.

        Raises:
            ConfigError: naming what, and a process that differs from process 0.
        """
        values = self.each(value)
        other = next((rank for rank, theirs in enumerate(values) if theirs != values[0]), None)
        if other is not None:
            raise ConfigError(
                f"{what} of process {other} is not that of process 0; every process needs the same files, the same "
                "versions and the same kind of device. What was saved is intact"
            )

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

        found = self.each(own)
        places = [place for _, place in found]
        if len(set(places)) < self.size:
            raise ConfigError(
                "two processes would compute on the same GPU; start one process for each GPU (is LOCAL_RANK set?), or "
                "set model.device = 'cpu'"
            )
        return found[self.rank][0]

    def _exchange(self, said: Any) -> list[Any]:
        """Return what every process says, by rank. Text as bytes, so that nothing is unpickled."""
        import torch
        from torch import distributed

        text = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        try:
            distributed.all_gather(lengths, torch.tensor([len(text)]), group=self.words)
            width = max(int(length) for length in lengths)
            padded = torch.zeros(width, dtype=torch.uint8)
            padded[: len(text)] = text
            heard = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(heard, padded, group=self.words)
        except RuntimeError as error:
            raise _lost(error) from error
        return [json.loads(row[: int(length)].numpy().tobytes()) for row, length in zip(heard, lengths, strict=True)]


def share(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return for each process the places of the rows it takes, in ascending order.

    Rows are dealt out from the longest to the shortest, forth and back, so that counts differ by at most one and no
    process gets all the long ones. It depends on the lengths alone, so every process comes to the same answer.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    hands: list[list[int]] = [[] for _ in range(size)]
    for turn, place in enumerate(order):
        lap, seat = divmod(turn, size)
        hands[size - 1 - seat if lap % 2 else seat].append(place)
    return [sorted(hand) for hand in hands]


def together(shares: Sequence[Sequence[int]], parts: Sequence[Sequence[T]]) -> list[T]:
    """Put back into the step's order what processes made of their shares, each the same number of things a row."""
    placed: list[tuple[int, T]] = []
    for places, made in zip(shares, parts, strict=True):
        each = len(made) // len(places) if places else 0
        placed += [(places[i // each], thing) for i, thing in enumerate(made)]
    return [thing for _, thing in sorted(placed, key=lambda pair: pair[0])]


def tells(error: UnswayedError) -> bool:
    """Return whether this process is the one that tells the user of an error, which all of them meet alike."""
    if leads() or isinstance(error, LostProcess):
        return True
    return not join.cache_info().currsize and number("LOCAL_RANK", 0) == 0  # before they were connected: one a machine


@cache
def join() -> World:
    """Connect with the processes that the launcher started, once for the life of this one.

    `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT` are read as torchrun sets them. Slurm's own
    variables are not: a command inside an allocation of many tasks is not thereby one of many.

    Raises:
        ConfigError: variables that are missing or make no sense.
        LostProcess: the others do not come.
    """
    size = several()
    if size == 1:
        return World()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    rank = number("RANK", 0)
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
        words = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        raise _lost(error) from error
    return Processes(distributed.get_rank(), distributed.get_world_size(), number("LOCAL_RANK", 0), words)


def _leave(store: Any, rank: int) -> None:
    """End after process 0 has: launchers end all as soon as one ends with an error, and it is the one that speaks."""
    from torch import distributed

    for which in (signal.SIGTERM, signal.SIGINT):
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
