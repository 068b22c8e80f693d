"""The interface between methods and whatever holds the weights: token ids in, token ids and tensors out.

`Sampler` draws completions, `Scorer` evaluates given ones, `Learner` updates the student; an `Engine` does all three.
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

    from unswayed.losses.head import HeadOptions

Capability = Literal["exact_kl", "topk", "sampled", "hidden"]
Role = Literal["student", "teacher"]
View = Literal["final", "layers"]


@dataclass(frozen=True, slots=True)
class Scored:
    """The hidden states of one policy at the completion tokens of some rows, end to end without padding.

    In the view `final` the states are those that predict each completion token, at the token before it; in the view
    `layers` they are those at the tokens themselves, so that a prompt may be empty.

    Attributes:
        hidden_ND: final hidden states, after the last norm, times the model's logit scale where it has one.
        head_VD: output embedding, [V, D]; `bias_V` likewise, or None.
        ids_N: the completion tokens.
        weight_N: their loss weights, float32.
        lengths: completion length of each row; sums to N.
        vocab_size: ids from here on are padding of the embedding and no tokens.
        layers_LND: in the view `layers`, the output of each layer, the last one before the last norm; else None.
        softcap: bound of the logits, or None.
    """

    hidden_ND: torch.Tensor
    head_VD: torch.Tensor
    bias_V: torch.Tensor | None
    ids_N: torch.Tensor
    weight_N: torch.Tensor
    lengths: tuple[int, ...]
    vocab_size: int
    layers_LND: torch.Tensor | None = None
    softcap: float | None = None

    @property
    def head(self) -> HeadOptions:
        """Return what the losses need to know of the output embedding beside its weights."""
        return {"head_bias": self.bias_V, "vocab": self.vocab_size, "softcap": self.softcap}


Loss = Callable[[Scored, PairedBatch], LossOutput]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of a step's micro-batches: the loss, what to divide by, and metrics as (sum, count)."""

    total: float
    count: float
    metrics: Mapping[str, tuple[float, float]]

    def __add__(self, other: Sums) -> Sums:
        metrics = dict(self.metrics)
        for name, (value, weight) in other.metrics.items():
            mine = metrics.get(name, (0.0, 0.0))
            metrics[name] = (mine[0] + value, mine[1] + weight)
        return Sums(self.total + other.total, self.count + other.count, metrics)

    def means(self) -> dict[str, float]:
        """Divide each metric once; a metric without weight is left out, not zero."""
        return {name: value / weight for name, (value, weight) in sorted(self.metrics.items()) if weight}


class Sampler(Protocol):
    """Draws completions, and names the weights that it draws them from."""

    @property
    def policy(self) -> PolicyRef:
        """Return the student's weights as last published."""
        ...

    @property
    def teacher_policy(self) -> PolicyRef:
        """Return the teacher's weights."""
        ...

    def sample(
        self,
        pair_ids: Sequence[str],
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]],
        role: Role = "student",
    ) -> list[list[Rollout]]:
        """Draw `params.n` completions for each prompt, one per seed."""
        ...


class Scorer(Protocol):
    """Evaluates given token ids, without gradient."""

    def score(self, batch: PairedBatch, role: Role = "teacher", view: View = "final") -> list[Scored]:
        """Return the hidden states at each row's completion, after the prompt of that role; one result per row."""
        ...

    def loglikelihood(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]], role: Role = "student"
    ) -> list[list[float]]:
        """Return the log-probability in nats of each continuation of each prompt."""
        ...


class Learner(Protocol):
    """Updates the student's weights, and stores them.

    `micro_batch` is the number of rows in memory at once; changing it changes results by rounding only. `trainable`
    holds the trained parameters by name, in the same order in every process.
    """

    micro_batch: int

    @property
    def trainable(self) -> Mapping[str, torch.nn.Parameter]: ...

    def forward_backward(self, batch: PairedBatch, loss: Loss, view: View = "final") -> Sums:
        """Add the gradient of the summed loss of all rows to the trainable weights' gradients."""
        ...

    def optim_step(self, lr: float, count: float, max_grad_norm: float | None) -> float:
        """Divide the gradients by `count`, clip, and update; return the norm before clipping.

        Raises:
            NotFiniteError: the norm is NaN or infinite; nothing has moved.
        """
        ...

    def halve_micro_batch(self) -> bool:
        """Drop all gradients and halve `micro_batch` after memory ran out; return False where it is 1 already."""
        ...

    def publish(self) -> PolicyRef:
        """Make the current weights the ones that `sample` draws from, and name them."""
        ...

    def teacher_fingerprint(self) -> str:
        """Return a checksum over every weight the teacher uses."""
        ...

    def save(self, folder: Path) -> None:
        """Write the adapter as a PEFT folder, and the optimizer's state, into an existing folder."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        ...


class Engine(Sampler, Scorer, Learner, Protocol):
    """Student and teacher in one place."""
