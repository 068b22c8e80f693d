r"""Exact divergences between student and teacher over the whole vocabulary, token by token.

With p = π_θ(·|x, y_<t) the student, q = π_0(·|x', y_<t) the teacher, r_v = log p_v − log q_v:

    reverse_kl   KL(p‖q)                       gradient over the student's logits   p_v (r_v − KL)
    forward_kl   KL(q‖p)                                                            p_v − q_v
    jsd          β KL(q‖m) + (1−β) KL(p‖m)                                          (1−β) p_v (log p_v/m_v − KL(p‖m))
                 m = β q + (1−β) p
    topk         Σ_{v∈T} p_v r_v + p̄ log(p̄/q̄)                                      p_v (r_bucket(v) − D)
                 T: the student's top k tokens; p̄ = Σ_{v∉T} p_v and q̄ likewise

Gradient flows to the student's hidden states (and head, where it is trained) and never to the teacher. The chance of
reaching a prefix y_<t gets no gradient: on the student's own samples this is the gradient of discount 0, without its
noise (docs/losses.md).

`topk` is a KL between two coarsened distributions: never negative, never above the exact one, growing with k, equal to
it at k = V. Renormalising over the top-k, or giving tokens outside a teacher's list a fixed low log-probability, has
none of these properties and lets the student move mass out of sight at no cost. The choice of T gets no gradient.

References: Agarwal et al. 2024, "On-Policy Distillation of Language Models" (arXiv 2306.13649) for the three on
student samples; Lin 1991, "Divergence measures based on the Shannon entropy", for the last of them.
"""

from __future__ import annotations

from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.compare import Compare, Kind
from unswayed.losses.head import Head, HeadOptions, check_ids, make_head, per_token
from unswayed.losses.reduce import check_tokens, pick, trained, weighted


class TokenDivergence(NamedTuple):
    """A divergence of each token, in nats, and what came with it.

    Attributes:
        value_N: the divergence asked for; carries gradient.
        metrics_N: name to a detached number for each token, as in `divergence`.
    """

    value_N: Tensor
    metrics_N: dict[str, Tensor]


class HeadsOptions(HeadOptions, total=False):
    """The options that concern the two output embeddings; see `token_divergence`."""

    teacher_head: Tensor | None
    teacher_bias: Tensor | None


class Options(HeadsOptions, total=False):
    """What every divergence takes; see `divergence`."""

    ids_N: Tensor | None
    clamp: float | None


def divergence(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    *,
    kind: Kind = "reverse_kl",
    beta: float = 0.5,
    k: int = 0,
    ids_N: Tensor | None = None,
    clamp: float | None = None,
    **options: Unpack[HeadsOptions],
) -> LossOutput:
    r"""Weighted sum of an exact divergence over tokens: Σ_n w_n D_n, or Σ_n w_n min(D_n, clamp).

    Args:
        hidden_student_ND, hidden_teacher_ND, head_VD, kind, beta, k, ids_N, options: as in `token_divergence`.
        weight_N: `[N]`, weight of each token. Tokens of weight 0 are not computed.
        clamp: tokens whose divergence is above it count `clamp` and get no gradient. This drops the tokens that
            disagree most; `jsd` is bounded without dropping any.

    Returns:
        total: Σ w·D in nats (float32, or float64 for float64 inputs); count: Σ w. Metrics, weighted likewise:
        `kl/exact` (student‖teacher, whatever the kind), `entropy` of the student; with `ids_N` also `logp/student`,
        `logp/teacher` and `kl/sampled`, their difference; with `clamp`, `clamped`; for `topk`, `tail/student` and
        `tail/teacher`, the mass outside the student's top k.

    Raises:
        ValueError: shapes, types or options that do not fit, by name. Values that are not finite are returned as
            they come out; the caller decides.
    """
    if clamp is not None and not clamp > 0:
        raise ValueError(f"clamp is {clamp}: give a number above 0 nats, or None")
    check_tokens(len(hidden_student_ND), weight_N=weight_N, ids_N=ids_N)
    _check_pair(hidden_student_ND, hidden_teacher_ND)
    index = trained(weight_N)
    value_N, metrics_N = token_divergence(
        pick(hidden_student_ND, index),
        pick(hidden_teacher_ND, index),
        head_VD,
        kind=kind,
        beta=beta,
        k=k,
        ids_N=None if ids_N is None else pick(ids_N, index),
        **options,
    )
    if clamp is not None:
        over_N = value_N.detach() > clamp
        value_N = torch.where(over_N, clamp, value_N)
        metrics_N["clamped"] = over_N
    return weighted(value_N, pick(weight_N, index), metrics_N)


def reverse_kl(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    **options: Unpack[Options],
) -> LossOutput:
    """KL(student‖teacher): mode-seeking, unbounded where the teacher gives no mass. See `divergence`."""
    return divergence(hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, kind="reverse_kl", **options)


def forward_kl(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    **options: Unpack[Options],
) -> LossOutput:
    """KL(teacher‖student): soft cross-entropy less the teacher's entropy, so soft-label BCT. See `divergence`."""
    return divergence(hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, kind="forward_kl", **options)


def jsd(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    *,
    beta: float = 0.5,
    **options: Unpack[Options],
) -> LossOutput:
    """Generalised Jensen–Shannon divergence: at most the entropy of (β, 1−β), ln 2 at 0.5. See `divergence`."""
    return divergence(hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, kind="jsd", beta=beta, **options)


def topk_divergence(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    weight_N: Tensor,
    *,
    k: int,
    **options: Unpack[Options],
) -> LossOutput:
    """Reverse KL over k + 1 buckets: the student's k most likely tokens, and everything else as one. See `divergence`.

    Costs as much as the exact one: it is here to measure what a scorer that returns only k tokens would lose.
    """
    return divergence(hidden_student_ND, hidden_teacher_ND, head_VD, weight_N, kind="topk", k=k, **options)


def token_divergence(
    hidden_student_ND: Tensor,
    hidden_teacher_ND: Tensor,
    head_VD: Tensor,
    *,
    kind: Kind = "reverse_kl",
    beta: float = 0.5,
    k: int = 0,
    ids_N: Tensor | None = None,
    teacher_head: Tensor | None = None,
    head_bias: Tensor | None = None,
    teacher_bias: Tensor | None = None,
    vocab: int | None = None,
    softcap: float | None = None,
    chunk: int | None = None,
) -> TokenDivergence:
    """The divergence of each token, before weights: for control variates, percentiles and plots.

    Args:
        hidden_student_ND: `[N, D]`, the state that predicts each token; gradient flows here.
        hidden_teacher_ND: `[N, Dt]`, the teacher's states for the same tokens; a constant.
        head_VD: `[V, D]`, output embedding. If it requires grad, it is trained too.
        kind: `reverse_kl`, `forward_kl`, `jsd` or `topk`.
        beta: the teacher's share of the mixture in `jsd`, in (0, 1); symmetric at 0.5.
        k: tokens told apart in `topk`, 1 to V.
        ids_N: `[N]`, the tokens that were sampled or forced; for metrics only.
        teacher_head: `[V, Dt]`, the teacher's own output embedding; the student's, held fixed, if None. Pass it when
            the head is trained, or the teacher changes with the student.
        head_bias, teacher_bias: `[V]`. Without `teacher_head` the teacher has the student's bias.
        vocab: cut both heads to the tokenizer's length; their padding may differ.
        softcap: bounds both sides' logits to ±softcap by tanh, as Gemma 2 does.
        chunk: tokens at once; chosen by memory if None. Changes rounding only.

    Metrics and errors are those of `divergence`.
    """
    _check_pair(hidden_student_ND, hidden_teacher_ND)
    if kind not in {"reverse_kl", "forward_kl", "jsd", "topk"}:
        raise ValueError(f"kind is {kind!r}: use 'reverse_kl', 'forward_kl', 'jsd' or 'topk'")
    if kind == "jsd" and not 0 < beta < 1:
        raise ValueError(f"beta is {beta}: it lies strictly between 0 (forward_kl) and 1 (reverse_kl)")
    head = make_head(hidden_student_ND, head_VD, head_bias, vocab=vocab, softcap=softcap)
    teacher = _teacher(hidden_teacher_ND, (head_VD, head_bias), (teacher_head, teacher_bias), vocab, head)
    if kind == "topk" and not 1 <= k <= head.vocab:
        raise ValueError(f"k is {k}: give the number of tokens to tell apart, 1 to {head.vocab}")
    if ids_N is not None:
        check_tokens(len(hidden_student_ND), ids_N=ids_N)
        check_ids(ids_N, head.vocab)
    loss = Compare(hidden_teacher_ND, teacher, kind, beta=beta, k=k, ids_N=ids_N)
    value_N, stats = per_token(hidden_student_ND, head, loss, chunk)
    return TokenDivergence(value_N, dict(zip(loss.names, stats, strict=True)))


def _check_pair(hidden_student_ND: Tensor, hidden_teacher_ND: Tensor) -> None:
    if len(hidden_teacher_ND) != len(hidden_student_ND):
        raise ValueError(
            f"hidden_teacher_ND has {len(hidden_teacher_ND)} tokens, hidden_student_ND {len(hidden_student_ND)}: "
            "both sides score the same tokens"
        )


def _teacher(
    hidden_teacher_ND: Tensor,
    students: tuple[Tensor, Tensor | None],
    own: tuple[Tensor | None, Tensor | None],
    vocab: int | None,
    student: Head,
) -> Head:
    """Return the teacher's head, its own or the student's, with the student's softcap."""
    (head_VD, head_bias), (teacher_head, teacher_bias) = students, own
    if teacher_head is None:
        if teacher_bias is not None:
            raise ValueError("teacher_bias is given without teacher_head: without one the teacher has the student's")
        if hidden_teacher_ND.shape[-1] != head_VD.shape[1]:
            raise ValueError(
                f"hidden_teacher_ND has width {hidden_teacher_ND.shape[-1]}, the head {head_VD.shape[1]}: "
                "pass the teacher's own output embedding as teacher_head"
            )
        teacher_head, teacher_bias = head_VD, head_bias
    teacher = make_head(
        hidden_teacher_ND, teacher_head, teacher_bias, vocab=vocab, softcap=student.softcap, side="teacher"
    )
    if teacher.vocab != student.vocab:
        raise ValueError(
            f"the student's head has {student.vocab} tokens, the teacher's {teacher.vocab}: "
            "give the tokenizer's length as vocab, if both use the same tokenizer"
        )
    if teacher.dtype != student.dtype:
        raise ValueError("one of head_VD and teacher_head is float64 and the other is not")
    return teacher
