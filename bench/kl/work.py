"""What every arm does: the reverse KL of the same hidden states through the same head, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.child import Where
from bench.summary import OURS

TRL, DENSE, CHECKPOINTED = "trl", "dense", "checkpointed"
TITLES = {
    OURS: "unswayed",
    TRL: "TRL's kernel",
    DENSE: "dense autograd",
    CHECKPOINTED: "chunks, checkpointed",
}
PRODUCTS = 3
"""Products of the head with all tokens, 2·N·V·D operations each, that every arm needs: both sides' logits, and the
gradient of the states. What an arm computes twice is not counted."""
ARMS: dict[str, Where] = {name: ("bench.kl.arms", {"name": name}) for name in TITLES}


@dataclass(frozen=True, slots=True)
class Work:
    """One measurement, as every process of it receives it.

    Attributes:
        tokens, vocab, width: N, V and D.
        dtype: of hidden states and head.
        threads: of every process; only one computes at a time.
        steps: rounds, warm-up included.
    """

    tokens: int
    vocab: int
    width: int
    dtype: str
    threads: int
    steps: int
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a reader of the result needs to know."""
        return {name: getattr(self, name) for name in ("tokens", "vocab", "width", "dtype", "threads")}
