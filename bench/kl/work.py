"""What every arm does: the reverse KL of the same hidden states through the same head, and its gradient. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.step.worker import PROBE, Where

OURS, TRL, DENSE, CHECKPOINTED = "unswayed", "trl", "dense", "checkpointed"
OURS_TRAINED, TRL_TRAINED = "unswayed_trained", "trl_trained"
TITLES = {
    OURS: "unswayed",
    TRL: "TRL's kernel",
    DENSE: "dense autograd",
    CHECKPOINTED: "chunks, checkpointed",
    OURS_TRAINED: "unswayed, trained head",
    TRL_TRAINED: "TRL's kernel, trained head",
}
TRAINED = (OURS_TRAINED, TRL_TRAINED)
# Products of the head with all tokens, 2·N·V·D operations each: both sides' logits, the gradient of the states, and of
# a head that is trained. What an arm computes twice is not in it.
PRODUCTS = {name: 4 if name in TRAINED else 3 for name in TITLES}
ARMS: dict[str, Where] = {
    **{name: ("bench.kl.arms", {"name": name}) for name in TITLES},
    PROBE: ("bench.step.probe", {}),
}


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
