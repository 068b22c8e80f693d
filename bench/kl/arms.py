"""The ways to compute it. Each is a function of hidden states and head that returns the mean over tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.child import Control, peak
from bench.kl.work import CHECKPOINTED, DENSE, TRL, Work
from bench.summary import OURS

ROWS = 128  # of a chunk that is checkpointed
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def run(work: Work, control: Control, *, name: str) -> None:
    """Compute value and gradient at each order."""
    student_ND, teacher_ND, head_VD = tensors(work)
    student_ND.requires_grad_()
    loss = LOSSES[name]()
    control.ready(head_bytes=head_VD.numel() * head_VD.element_size())
    value = torch.zeros(())
    for _ in range(work.steps):
        control.begin()
        student_ND.grad = None
        began = time.perf_counter()
        value = loss(student_ND, teacher_ND, head_VD)
        forward = time.perf_counter() - began
        torch.autograd.backward(value)
        control.report(seconds=time.perf_counter() - began, forward=forward, peak_rss=peak())
    assert student_ND.grad is not None
    facts = {"value": value.item(), "gradient": student_ND.grad.flatten().float().numpy()}
    control.finish(lambda _: facts)


def tensors(work: Work) -> tuple[Tensor, Tensor, Tensor]:
    """Return student_ND, teacher_ND, head_VD: logits with a spread of 2, sides that differ as after some training."""
    generator = torch.Generator().manual_seed(work.seed)
    dtype = getattr(torch, work.dtype)
    head_VD = torch.randn(work.vocab, work.width, generator=generator).mul_(2 / math.sqrt(work.width)).to(dtype)
    student_ND = torch.randn(work.tokens, work.width, generator=generator)
    noise_ND = torch.randn(work.tokens, work.width, generator=generator)
    return student_ND.to(dtype), (student_ND + 0.1 * noise_ND).to(dtype), head_VD


def _ours() -> Loss:
    from unswayed import losses

    def loss(student_ND: Tensor, teacher_ND: Tensor, head_VD: Tensor) -> Tensor:
        weight_N = torch.full((len(student_ND),), 1 / len(student_ND))
        return losses.reverse_kl(student_ND, teacher_ND, head_VD, weight_N).total

    return loss


def _trl() -> Loss:
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    def loss(student_ND: Tensor, teacher_ND: Tensor, head_VD: Tensor) -> Tensor:
        value_N, _ = ChunkedDivergenceFunction.apply(student_ND, head_VD, None, teacher_ND, head_VD, None, 1.0)
        return torch.as_tensor(value_N).mean()

    return loss


def _dense() -> Loss:
    return lambda student_ND, teacher_ND, head_VD: _divergence(student_ND, teacher_ND, head_VD).mean()


def _checkpointed() -> Loss:
    from torch.utils.checkpoint import checkpoint

    def loss(student_ND: Tensor, teacher_ND: Tensor, head_VD: Tensor) -> Tensor:
        parts = zip(student_ND.split(ROWS), teacher_ND.split(ROWS), strict=True)
        value_N = [
            checkpoint(_divergence, student, teacher, head_VD, use_reentrant=False) for student, teacher in parts
        ]
        return torch.cat(value_N).mean()

    return loss


def _divergence(student_ND: Tensor, teacher_ND: Tensor, head_VD: Tensor) -> Tensor:
    """Return the reverse KL of each token, computed as its definition."""
    with torch.no_grad():
        teacher_NV = F.log_softmax((teacher_ND @ head_VD.T).float(), dim=-1)
    student_NV = F.log_softmax((student_ND @ head_VD.T).float(), dim=-1)
    return F.kl_div(teacher_NV, student_NV, reduction="none", log_target=True).sum(-1)


LOSSES: dict[str, Callable[[], Loss]] = {
    OURS: _ours,
    TRL: _trl,
    DENSE: _dense,
    CHECKPOINTED: _checkpointed,
}
