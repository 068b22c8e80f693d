"""What is decoded: prompts, completions, and where they end. Loads no torch."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

MEAN = 60
"""Tokens of a completion where rows end early, on average."""
HOT = 10.0
"""A temperature at which every token is about as likely, so that lengths under a set of stop tokens are geometric."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts and completions of one call.

    Attributes:
        prompts: how many. n: completions of each.
        low, high: tokens of a prompt behind the prefix, evenly between.
        prefix: tokens that all prompts begin with.
        new: longest completion.
        stops: whether one token in `MEAN` ends a completion; otherwise all have `new` tokens.
    """

    name: str
    prompts: int
    n: int
    prefix: int
    new: int
    stops: bool = False
    low: int = 30
    high: int = 120

    def ids(self, vocabulary: int) -> list[list[int]]:
        """Return the prompts as token ids, the same in every process."""
        source = random.Random(7)
        shared = [source.randrange(vocabulary) for _ in range(self.prefix)]
        return [
            shared + [source.randrange(vocabulary) for _ in range(source.randint(self.low, self.high))]
            for _ in range(self.prompts)
        ]

    def stop_ids(self, vocabulary: int) -> list[int]:
        """Return the tokens that end a completion."""
        return random.Random(1).sample(range(vocabulary), max(1, vocabulary // MEAN)) if self.stops else []

    @property
    def temperature(self) -> float:
        return HOT if self.stops else 1.0

    def short(self) -> Workload:
        """Return a small one of the same kind, for a quick look."""
        return replace(self, prompts=min(self.prompts, 8), new=min(self.new, 24 if self.stops else 8))


WORKLOADS = (
    Workload("16 rows", prompts=16, n=1, prefix=0, new=24),
    Workload("48 rows", prompts=48, n=1, prefix=0, new=24),
    Workload("16 prompts x 3, shared prefix", prompts=16, n=3, prefix=40, new=24),
    Workload(f"64 rows, mean {MEAN}, cap 256", prompts=64, n=1, prefix=0, new=256, stops=True),
)
WARM = Workload("warm", prompts=4, n=1, prefix=0, new=2, low=2, high=4)
GREEDY = Workload("greedy", prompts=8, n=1, prefix=12, new=16)


@dataclass(frozen=True, slots=True)
class Work:
    """One measurement, as every process receives it.

    Attributes:
        model: as `unswayed.models.resolve` takes it.
        rank: of the LoRA adapter on all linear layers.
        threads: of every process; only one process computes at a time.
    """

    model: str
    workloads: tuple[Workload, ...]
    rounds: int
    rank: int
    threads: int
    dtype: str = "auto"
