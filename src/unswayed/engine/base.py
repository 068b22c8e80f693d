"""The seam between methods and whatever holds the weights: token ids in, token ids and tensors out.

An engine never sees chat messages, and a method never sees a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from unswayed.core.types import LossOutput, PairedBatch, PolicyRef, Rollout, SamplingParams

if TYPE_CHECKING:
    import torch

Capability = Literal["exact_kl", "topk", "sampled", "hidden"]
Who = Literal["student", "teacher"]
View = Literal["final", "layers"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What one policy says at the completion tokens of some rows, end to end without padding.

    In the view `final` the states are those that predict each completion token, at the token before it; in the view
    `layers` they are those at the tokens themselves, so that a prompt may be empty.

    Attributes:
        hidden_ND: final hidden states, after the last norm.
        head_VD: output embedding, [V, D]; `bias_V` likewise, or None.
        ids_N: the completion tokens.
        weight_N: their loss weights, float32.
        lengths: completion length of each row; sums to N.
        vocab_size: ids from here on are padding of the embedding and no tokens.
        layers_LND: in the view `layers`, what each layer hands on, the last one before the last norm; else None.
    """

    hidden_ND: torch.Tensor
    head_VD: torch.Tensor
    bias_V: torch.Tensor | None
    ids_N: torch.Tensor
    weight_N: torch.Tensor
    lengths: tuple[int, ...]
    vocab_size: int
    layers_LND: torch.Tensor | None = None


Loss = Callable[[Scored, PairedBatch], LossOutput]


@dataclass(frozen=True, slots=True)
class Sums:
    """What a step's micro-batches add up to: the loss, what to divide by, and metrics as (sum, count)."""

    total: float
    count: float
    metrics: Mapping[str, tuple[float, float]]

    def __add__(self, other: Sums) -> Sums:
        metrics = dict(self.metrics)
        for name, (value, weight) in other.metrics.items():
            mine = metrics.get(name, (0.0, 0.0))
            metrics[name] = (mine[0] + value, mine[1] + weight)
        return Sums(self.total + other.total, self.count + other.count, metrics)


class Engine(Protocol):
    """Student and teacher in one place.

    `micro_batch` is the number of rows in memory at once; changing it changes results by rounding only.
    """

    capabilities: frozenset[Capability]
    micro_batch: int

    def sample(
        self,
        pair_ids: Sequence[str],
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]],
        who: Who = "student",
    ) -> list[list[Rollout]]:
        """Draw `params.n` completions for each prompt, one per seed."""
        ...

    def score(self, batch: PairedBatch, who: Who = "teacher", view: View = "final") -> list[Scored]:
        """Score each row's completion after that side's prompt, without gradient; one result per row, in order."""
        ...

    def forward_backward(self, batch: PairedBatch, loss: Loss, view: View = "final") -> Sums:
        """Add the gradient of the summed loss of all rows to the trainable weights' gradients."""
        ...

    def optim_step(self, lr: float, count: float, max_grad_norm: float | None) -> float:
        """Divide the gradients by `count`, clip, and update; return the norm before clipping.

        Raises:
            NotFiniteError: the norm is NaN or infinite; nothing has moved.
        """
        ...

    def publish(self) -> PolicyRef:
        """Make the current weights the ones that `sample` draws from, and name them."""
        ...

    def teacher_fingerprint(self) -> str:
        """Return a checksum over every weight the teacher uses."""
        ...

    def save(self, folder: Path) -> None:
        """Write adapter and optimizer state into an existing folder."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        ...
