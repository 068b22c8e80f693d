r"""Two distributions over the vocabulary, compared token by token in place.

From logits s (student) and t (teacher), each less its row's maximum, with E = exp s, F = exp t, Z = Σ E, Z' = Σ F:

    r_v = log p_v − log q_v = (s_v − t_v) + (log Z' − log Z)        KL(p‖q) = Σ E (s − t) / Z + log Z' − log Z

Taking the maximum off first keeps log Z small, so a divergence near zero is the difference of numbers near zero; and
where both sides have the same bits, every term is exactly zero. Gradients over the logits are left unscaled by 1/Z,
which is applied to `[C, D]` after the product with the head instead of to `[C, V]` before it. Everything is written
over three planes of logits (four for `jsd`), a tile `[C, T]` of the vocabulary at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unswayed.losses.head import Chunk, Head, add_up, row_dot, tiles

Kind = Literal["reverse_kl", "forward_kl", "jsd", "topk"]


@dataclass(slots=True)
class _Sides:
    """One chunk, after the part every divergence shares. Columns of one are `[C, 1]`."""

    ratio_CV: Tensor  # s − t, over the student's logits
    shift_C1: Tensor  # log Z' − log Z: r = ratio + shift
    student_CV: Tensor  # E; p = E / Z
    student_C1: Tensor  # Z
    teacher_CV: Tensor  # F; q = F / Z'
    teacher_C1: Tensor  # Z'
    mean_C1: Tensor  # Σ p (s − t): KL less the shift


class Compare:
    """A divergence of each token, and what else is known once both distributions are there.

    Args:
        hidden_teacher_ND: the teacher's states.
        teacher: the teacher's head.
        kind: which divergence.
        beta: share of the teacher in the mixture of `jsd`.
        k: tokens told apart in `topk`.
        ids_N: tokens whose log-probabilities are wanted on both sides.
    """

    def __init__(
        self, hidden_teacher_ND: Tensor, teacher: Head, kind: Kind, *, beta: float, k: int, ids_N: Tensor | None
    ) -> None:
        self.hidden_teacher_ND, self.teacher, self.ids_N = hidden_teacher_ND.detach(), teacher, ids_N
        self.kind, self.beta, self.k = kind, beta, k
        self.names = ["kl/exact", "entropy"]
        if ids_N is not None:
            self.names += ["logp/student", "logp/teacher", "kl/sampled"]
        if kind == "topk":
            self.names += ["tail/student", "tail/teacher"]
        self.stats = len(self.names)
        self.scratch = 3 if kind == "jsd" else 2

    def __call__(self, logits_CV: Tensor, scratch_CV: Sequence[Tensor], tokens: slice, grad: bool) -> Chunk:
        s_CV, (t_CV, e_CV, *spare) = logits_CV, scratch_CV
        self.teacher.logits(self.hidden_teacher_ND[tokens], t_CV)
        top_CK = s_CV.topk(self.k).indices if self.kind == "topk" else None
        s_max_C1, t_max_C1 = s_CV.amax(-1, keepdim=True), t_CV.amax(-1, keepdim=True)
        if self.ids_N is not None:
            ids_C1 = self.ids_N[tokens, None]
            given = [s_CV.gather(1, ids_C1) - s_max_C1, t_CV.gather(1, ids_C1) - t_max_C1]
        parts = []
        for tile in tiles(s_CV):
            s_CT, t_CT, e_CT = s_CV[:, tile], t_CV[:, tile], e_CV[:, tile]
            z_C1 = torch.exp(s_CT.sub_(s_max_C1), out=e_CT).sum(-1, keepdim=True)
            weighted_C1 = row_dot(e_CT, s_CT)
            s_CT.sub_(t_CT.sub_(t_max_C1))
            parts.append((z_C1, t_CT.exp_().sum(-1, keepdim=True), weighted_C1, row_dot(e_CT, s_CT)))
        z_C1, teacher_z_C1, weighted_C1, mean_C1 = add_up(parts)
        entropy_C1 = z_C1.log() - weighted_C1 / z_C1
        shift_C1 = teacher_z_C1.log() - z_C1.log()
        mean_C1 = mean_C1 / z_C1
        stats = [mean_C1 + shift_C1, entropy_C1]
        if self.ids_N is not None:
            given = [given[0] - z_C1.log(), given[1] - teacher_z_C1.log()]
            stats += [*given, given[0] - given[1]]
        sides = _Sides(s_CV, shift_C1, e_CV, z_C1, t_CV, teacher_z_C1, mean_C1)
        if self.kind == "reverse_kl":
            value_C1, scale_C1 = _reverse(sides, grad)
        elif self.kind == "forward_kl":
            value_C1, scale_C1 = _forward(sides, grad)
        elif self.kind == "jsd":
            value_C1, scale_C1 = _jensen_shannon(sides, spare[0], self.beta, grad)
        else:
            assert top_CK is not None
            value_C1, scale_C1, *tails = _coarse(sides, top_CK, grad)
            stats += tails
        return Chunk(value_C1[:, 0], [stat_C1[:, 0] for stat_C1 in stats], scale_C1)


def _reverse(x: _Sides, grad: bool) -> tuple[Tensor, Tensor]:
    for tile in tiles(x.ratio_CV) if grad else ():
        x.ratio_CV[:, tile].sub_(x.mean_C1).mul_(x.student_CV[:, tile])
    return x.mean_C1 + x.shift_C1, 1 / x.student_C1


def _forward(x: _Sides, grad: bool) -> tuple[Tensor, Tensor]:
    parts = []
    for tile in tiles(x.ratio_CV):
        ratio_CT, e_CT, f_CT = x.ratio_CV[:, tile], x.student_CV[:, tile], x.teacher_CV[:, tile]
        parts.append([row_dot(f_CT, ratio_CT)])
        if grad:
            torch.div(e_CT, x.student_C1, out=ratio_CT).sub_(f_CT.div_(x.teacher_C1))
    value_C1 = -(add_up(parts)[0] / x.teacher_C1 + x.shift_C1)
    return value_C1, torch.ones_like(value_C1)


def _jensen_shannon(x: _Sides, plane_CV: Tensor, beta: float, grad: bool) -> tuple[Tensor, Tensor]:
    # With r = log p/q:  log m / max(p, q) = log1p(w·expm1(−|r|)), where w is the share of the smaller side. Nothing
    # overflows, and r = 0 gives 0.
    parts = []
    for tile in tiles(plane_CV):
        r_CT, plane_CT = x.ratio_CV[:, tile].add_(x.shift_C1), plane_CV[:, tile]
        torch.abs(r_CT, out=plane_CT).neg_().expm1_()
        share: Tensor | float = beta if beta == 0.5 else (r_CT < 0).to(r_CT.dtype).mul_(1 - 2 * beta).add_(beta)
        plane_CT.mul_(share).log1p_()
        to_student_CT = plane_CT.neg_().add_(r_CT.clamp(max=0))  # log p/m; log q/m = log p/m − r
        e_CT, f_CT = x.student_CV[:, tile], x.teacher_CV[:, tile]
        parts.append([row_dot(e_CT, to_student_CT), row_dot(f_CT, to_student_CT) - row_dot(f_CT, r_CT)])
    student_kl_C1, teacher_kl_C1 = add_up(parts)
    student_kl_C1, teacher_kl_C1 = student_kl_C1 / x.student_C1, teacher_kl_C1 / x.teacher_C1
    for tile in tiles(plane_CV) if grad else ():
        torch.sub(plane_CV[:, tile], student_kl_C1, out=x.ratio_CV[:, tile]).mul_(x.student_CV[:, tile])
    return beta * teacher_kl_C1 + (1 - beta) * student_kl_C1, (1 - beta) / x.student_C1


def _coarse(x: _Sides, top_CK: Tensor, grad: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # KL between the distributions over K + 1 buckets: the student's top-k tokens and the rest. Bucket masses of the
    # rest are summed, not found as 1 − Σ top, so they are right however small; a teacher's mass too small for the type
    # is taken as the smallest number it has.
    tiny = torch.finfo(x.ratio_CV.dtype).tiny
    top_e_CK, top_f_CK = x.student_CV.gather(1, top_CK), x.teacher_CV.gather(1, top_CK)
    top_r_CK = x.ratio_CV.gather(1, top_CK) + x.shift_C1
    rest_e_C1 = x.student_CV.scatter_(1, top_CK, 0.0).sum(-1, keepdim=True)
    rest_f_C1 = x.teacher_CV.scatter_(1, top_CK, 0.0).sum(-1, keepdim=True)
    p_C1, q_C1 = rest_e_C1 / x.student_C1, rest_f_C1 / x.teacher_C1
    rest_r_C1 = torch.where(p_C1 == 0, 0.0, p_C1.clamp(min=tiny).log() - q_C1.clamp(min=tiny).log())
    # Σ (p r − p + q) is Σ p r with terms that are each at least 0.
    p_CK, q_CK = top_e_CK / x.student_C1, top_f_CK / x.teacher_C1
    top_CK_terms = p_CK * top_r_CK - p_CK + q_CK
    value_C1 = top_CK_terms.sum(-1, keepdim=True) + (p_C1 * rest_r_C1 - p_C1 + q_C1)
    if grad:
        torch.mul(x.student_CV, rest_r_C1 - value_C1, out=x.ratio_CV)
        x.ratio_CV.scatter_(1, top_CK, top_e_CK * (top_r_CK - value_C1))
    return value_C1.clamp(min=0), 1 / x.student_C1, p_C1, q_C1
