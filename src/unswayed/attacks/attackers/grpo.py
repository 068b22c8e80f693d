"""An attacker trained against this target (see `unswayed.attacks.learned`), in the sessions of `search`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.attacks.attackers.base import attacker
from unswayed.attacks.attackers.search import Search
from unswayed.core.types import TextPolicy


@attacker("grpo")
class Trained(Search):
    """Search by a trained attacker.

    Args:
        policy: the trained attacker.
        adapter: what its training is known by.
        trained_on: identity of the target that it was trained against.
        trained: how it was trained, by name; equal for attackers whose figures are compared.
        others: settings of `search`.
    """

    name = "grpo"

    def __init__(
        self,
        *,
        seed: int = 0,
        policy: TextPolicy,
        adapter: str = "",
        trained_on: str = "",
        trained: Mapping[str, Any] | None = None,
        sessions: int = 8,
        rounds: int = 3,
        temperature: float = 0.9,
        max_new_tokens: int = 256,
    ) -> None:
        super().__init__(
            seed=seed, policy=policy, sessions=sessions, rounds=rounds, temperature=temperature,
            max_new_tokens=max_new_tokens,
        )  # fmt: skip
        self.adapter, self.trained_on, self.trained = adapter, trained_on, dict(trained or {})

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Attacker`. The policy's identity is that of the training, which names its own target."""
        own = {key: value for key, value in super().settings.items() if key != "model"}
        return {**own, "adapter": self.adapter, "trained_on": self.trained_on, "trained": self.trained}
