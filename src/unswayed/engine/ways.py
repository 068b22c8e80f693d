"""Which shortcuts a loaded model may be computed by; found out by `engine.proof`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unswayed.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ways:
    """What may be done to be faster than one row after the other through Transformers' and PEFT's own layers.

    Attributes:
        packed: rows end to end in one sequence (`engine.packing`).
        padded: several rows in one rectangle; else one row at a time.
        lean: linear layers replaced while decoding (`engine.decode.lean`).
        shared: a prompt computed once for all its continuations (`engine.decode.loglikelihood`).
        undecodable: why nothing can be sampled from the model, or an empty text.
    """

    packed: bool = True
    padded: bool = True
    lean: bool = True
    shared: bool = True
    undecodable: str = ""

    def check_decodable(self, what: str) -> None:
        """Refuse to sample where that would not give the model's own completions.

        Raises:
            ConfigError: why not, and what works instead.
        """
        if self.undecodable:
            raise ConfigError(
                f"{what}: completions cannot be drawn from this model: {self.undecodable}. Choose a decoder-only "
                "transformer with full or sliding attention, or train without drawing: method.name = 'sft' with "
                "source = 'target'"
            )

    @property
    def likelihood(self) -> dict[str, Any]:
        """Return the arguments of `continuation_logprobs` that these ways decide."""
        return {"share": self.shared, "batch_tokens": None if self.padded else 1}
