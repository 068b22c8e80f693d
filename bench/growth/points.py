"""What is made larger, each alone, from one base step of random weights. Loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

RANK = 16
PARTS = ("sample", "teacher", "learn", "optim")


@dataclass(frozen=True, slots=True)
class Point:
    """One OPCT step.

    Attributes:
        rollouts: K, completions of each pair.
        completion: tokens of every completion; nothing stops early.
        vocab: words of the (tied) embedding.
        layers, hidden: of a Llama-shaped model.
        pairs, prompt: pairs a step, and tokens of each of their prompts.
    """

    rollouts: int = 2
    completion: int = 32
    vocab: int = 32_768
    layers: int = 4
    hidden: int = 256
    pairs: int = 8
    prompt: int = 48

    @property
    def tokens(self) -> int:
        """Completion tokens of the step."""
        return self.pairs * self.rollouts * self.completion

    @property
    def body(self) -> int:
        """Weights of a model's linear layers without the head: attention with as many key heads, and a gated MLP."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * intermediate(self.hidden))

    def facts(self) -> dict[str, Any]:
        """What a reader of the result needs to know."""
        return {**asdict(self), "tokens": self.tokens, "body": self.body}


def intermediate(hidden: int) -> int:
    """Return the width of a Llama's MLP."""
    return hidden * 8 // 3


@dataclass(frozen=True, slots=True)
class Job:
    """One point, measured on so many threads: one step for memory, then `steps` for seconds."""

    point: Point
    threads: int
    steps: int


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows: its title, which of a point's numbers it is drawn over, and the points."""

    name: str
    title: str
    over: str
    unit: str
    points: tuple[Point, ...]


BASE = Point()
AXES = (
    Axis("rollouts", "rollouts of a pair", "tokens", "completion tokens",
         tuple(replace(BASE, rollouts=k) for k in (1, 2, 4, 8, 16))),
    Axis("completion", "length of completions", "tokens", "completion tokens",
         tuple(replace(BASE, completion=length) for length in (16, 32, 64, 128, 256))),
    Axis("vocab", "vocabulary", "vocab", "words",
         tuple(replace(BASE, vocab=vocab) for vocab in (8_192, 32_768, 65_536, 98_304, 151_936))),
    Axis("model", "model", "body", "weights of its layers",
         tuple(replace(BASE, layers=layers, hidden=hidden)
               for layers, hidden in ((2, 256), (4, 256), (4, 384), (8, 384), (8, 512)))),
)  # fmt: skip
