r"""Reverse KL over K + 1 buckets: the student's K most likely tokens, and everything else as one.

With T the student's top-k, p̄ = Σ_{v∉T} p_v and q̄ likewise for the teacher:

    D = Σ_{v∈T} p_v (log p_v − log q_v) + p̄ (log p̄ − log q̄)         gradient over the logits   p_v (r_bucket(v) − D)

A KL between two coarsened distributions: never negative, never above the exact one, growing with k, equal to it at
k = V. Renormalising over the top-k, or giving tokens outside a teacher's list a fixed low log-probability, has none of
these properties and lets the student move mass out of sight at no cost. The choice of T gets no gradient.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.divergence import Options, divergence
from unswayed.losses.reduce import check_tokens, pick, trained, weighted


def topk_divergence(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    *,
    k: int,
    clamp: float | None = None,
    **options: Unpack[Options],
) -> LossOutput:
    """Weighted sum of the coarse reverse KL, from both sides' hidden states.

    Costs as much as the exact one: it is here to measure what a scorer that returns only k tokens would lose.

    Args:
        hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, clamp, options: as in `divergence`.
        k: tokens told apart, 1 to V.

    Returns:
        As `divergence`, with metrics `tail/student` and `tail/teacher`, the mass outside the student's top-k.

    Raises:
        ValueError: as `divergence`, and for a k outside 1 to V.
    """
    return divergence(hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, kind="topk", k=k, clamp=clamp, **options)


def topk_divergence_from_logprobs(
    student_logprobs_NK: Tensor, teacher_logprobs_NK: Tensor, weight_N: Tensor
) -> LossOutput:
    """The same from log-probabilities alone, where no hidden states can be had.

    Args:
        student_logprobs_NK: `[N, K]`, of the student's top-k tokens; gradient flows here.
        teacher_logprobs_NK: `[N, K]`, of the same tokens under the teacher; a constant.
        weight_N: `[N]`, weight of each token.

    Returns:
        As `topk_divergence`; metrics `tail/student` and `tail/teacher`.

    Raises:
        ValueError: shapes that do not fit.
    """
    if student_logprobs_NK.ndim != 2 or student_logprobs_NK.shape != teacher_logprobs_NK.shape:
        raise ValueError(
            f"student_logprobs_NK has shape {tuple(student_logprobs_NK.shape)}, teacher_logprobs_NK "
            f"{tuple(teacher_logprobs_NK.shape)}: the same [N, K] tokens on both sides are needed"
        )
    check_tokens(len(student_logprobs_NK), weight_N=weight_N)
    index = trained(weight_N)
    p_NB = _buckets(pick(student_logprobs_NK, index))
    q_NB = _buckets(pick(teacher_logprobs_NK.detach(), index))
    value_N = (p_NB.exp() * (p_NB - q_NB)).sum(-1).clamp(min=0)
    tails = {"tail/student": p_NB[:, -1].exp(), "tail/teacher": q_NB[:, -1].exp()}
    return weighted(value_N, pick(weight_N, index), tails)


def _buckets(logprobs_NK: Tensor) -> Tensor:
    """Append the log of the remaining mass, `[N, K + 1]`, normalised.

    What remains is a difference from 1 and drowns in the rounding of the inputs where it is small: it is taken as no
    less than that rounding, and the whole is normalised again so that it stays a distribution.
    """
    wide_NK = logprobs_NK if logprobs_NK.device.type == "mps" else logprobs_NK.double()
    rounding = torch.finfo(logprobs_NK.dtype).eps
    rest_N1 = 1 - wide_NK.exp().sum(-1, keepdim=True)
    rest_N1 = torch.where(rest_N1 < rounding, rounding, rest_N1)
    return torch.cat([wide_NK, rest_N1.log()], -1).log_softmax(-1)
