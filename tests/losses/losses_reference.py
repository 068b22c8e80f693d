"""Dense, slow, obviously right versions of the losses, for the tests to compare with."""

from __future__ import annotations

import torch
from torch import Tensor


def logits_of(hidden, head, bias=None, *, vocab=None, softcap=None):
    logits = hidden @ head.T
    if bias is not None:
        logits = logits + bias
    if vocab is not None:
        logits = logits[:, :vocab]
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits


def divergence_of(logp_s: Tensor, logp_t: Tensor, kind: str, beta: float = 0.5) -> Tensor:
    """Per-row divergence between log-probabilities, by the definitions."""
    if kind == "reverse_kl":
        return (logp_s.exp() * (logp_s - logp_t)).sum(-1)
    if kind == "forward_kl":
        return (logp_t.exp() * (logp_t - logp_s)).sum(-1)
    mixture = ((1 - beta) * logp_s.exp() + beta * logp_t.exp()).log()
    to_student = (logp_s.exp() * (logp_s - mixture)).sum(-1)
    to_teacher = (logp_t.exp() * (logp_t - mixture)).sum(-1)
    return (1 - beta) * to_student + beta * to_teacher


def grads(total: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, inputs, allow_unused=False))


def normal(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
