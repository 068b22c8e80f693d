r"""Squared distance between the residual streams of student and teacher.

    D_n = 1/L Σ_l ‖h^S_{l,n} − h^T_{l,n}‖²         sum over width, mean over layers

Activation consistency training (Irpan et al. 2025, arXiv 2510.27062) brings the activations after the wrapped prompt to
those after the clean one. Positions are summed and counted, so the mean is taken once, over the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.reduce import check_tokens, pick, trained, weighted


def activation_mse(
    student_LND: Tensor | Sequence[Tensor], teacher_LND: Tensor | Sequence[Tensor], weight_N: Tensor
) -> LossOutput:
    """Weighted sum over positions of the squared distance, summed over width and averaged over layers.

    Args:
        student_LND: `[L, N, D]`, or one `[N, D]` for each layer; gradient flows here.
        teacher_LND: the same of the teacher; a constant.
        weight_N: `[N]`, weight of each position. Positions of weight 0 are left out and may hold anything.

    Returns:
        total: Σ w·D, in squared activation units, from float32 squares (float64 for float64 inputs); count: Σ w. Metric
        `activation/relative`: D over the teacher's mean squared norm, layer by layer, so that layers compare.

    Raises:
        ValueError: layers or shapes that do not fit.
    """
    if len(student_LND) != len(teacher_LND) or not len(student_LND):
        raise ValueError(
            f"the student has {len(student_LND)} layers and the teacher {len(teacher_LND)}: the same layers, and at "
            "least one layer, are needed"
        )
    for layer, (student_ND, teacher_ND) in enumerate(zip(student_LND, teacher_LND, strict=True)):
        if student_ND.shape != teacher_ND.shape or student_ND.ndim != 2:
            raise ValueError(
                f"layer {layer} has shape {tuple(student_ND.shape)} in the student and {tuple(teacher_ND.shape)} "
                "in the teacher: [N, D] on both sides is needed"
            )
    check_tokens(len(student_LND[0]), weight_N=weight_N)
    index = trained(weight_N)
    distances, relatives = [], []
    for student_ND, teacher_ND in zip(student_LND, teacher_LND, strict=True):
        target_ND = _at_least_float32(pick(teacher_ND.detach(), index))
        # Widened before the difference: two float16 activations may be further apart than float16 reaches.
        distance_N = (_at_least_float32(pick(student_ND, index)) - target_ND).square().sum(-1)
        distances.append(distance_N)
        relatives.append(distance_N.detach() / target_ND.square().sum(-1))
    value_N, relative_N = torch.stack(distances).mean(0), torch.stack(relatives).mean(0)
    return weighted(value_N, pick(weight_N, index), {"activation/relative": relative_N})


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
