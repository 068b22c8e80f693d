"""From a number for each token to a sum and a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from unswayed.core.types import LossOutput


def weights_by_row(
    lengths_B: Sequence[int],
    mode: Literal["token", "sequence"],
    *,
    mask_N: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Weights under which total / count is a mean over tokens, or a mean over sequences.

    `token` weighs every token 1 (or its mask), so long rows count for more. `sequence` divides by the row's own
    weight, w_t = m_t / Σ_u m_u, so every row that has any counts 1 whatever its length.

    Args:
        lengths_B: tokens of each row.
        mode: `token` or `sequence`.
        mask_N: weight of each token, rows end to end; all ones if None.
        device: of the result where there is no mask.

    Returns:
        weight_N, float32 or the mask's type. Rows without weight get zeros and are not counted.

    Raises:
        ValueError: unknown mode, negative lengths, or a mask that is negative or does not fit the lengths.
    """
    n = check_lengths(lengths_B, None)
    if mode not in {"token", "sequence"}:
        raise ValueError(f"mode is {mode!r}: use 'token' or 'sequence'")
    if mask_N is None:
        mask_N = torch.ones(n, device=device)
    if mask_N.shape != (n,):
        raise ValueError(f"mask_N has shape {tuple(mask_N.shape)}, but lengths_B add up to {n} tokens")
    if bool((mask_N < 0).any()):
        raise ValueError("mask_N has negative weights: use 0 to leave a token out")
    if mode == "token":
        return mask_N
    row_N = row_of_token(lengths_B, mask_N.device)
    sums_B = mask_N.new_zeros(len(lengths_B)).index_add_(0, row_N, mask_N)
    return torch.where(mask_N > 0, mask_N / sums_B[row_N], 0.0)


def check_lengths(lengths_B: Sequence[int], n: int | None) -> int:
    """Return the sum of the lengths, having checked them."""
    if any(length < 0 for length in lengths_B):
        raise ValueError(f"lengths_B has a negative length ({min(lengths_B)})")
    if n is not None and sum(lengths_B) != n:
        raise ValueError(f"lengths_B add up to {sum(lengths_B)} tokens, but there are {n}")
    return sum(lengths_B)


def row_of_token(lengths_B: Sequence[int], device: torch.device) -> Tensor:
    """Return row_N: the row each token belongs to."""
    return torch.repeat_interleave(torch.tensor(lengths_B, dtype=torch.long, device=device))


def check_tokens(n: int, **tensors_N: Tensor | None) -> None:
    """Raise ValueError, by name, where a tensor does not hold one number for each of n tokens."""
    for name, tensor in tensors_N.items():
        if tensor is not None and tensor.shape != (n,):
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}: one number for each of the {n} tokens is needed")


def trained(weight_N: Tensor) -> Tensor | None:
    """Return the indices of tokens that carry weight, or None where all do.

    Tokens of weight 0 are left out before anything is computed, not multiplied by zero afterwards: they cost nothing,
    and whatever they hold, NaN among it, stays out of the loss and its gradient.
    """
    keep_N = weight_N != 0
    return None if bool(keep_N.all()) else keep_N.nonzero()[:, 0]


def pick(tensor_N: Tensor, index: Tensor | None) -> Tensor:
    """Return the tensor's rows at `index`, or all of them."""
    return tensor_N if index is None else tensor_N[index]


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, the type of every sum, where the device has it."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def weighted(value_N: Tensor, weight_N: Tensor, metrics_N: Mapping[str, Tensor]) -> LossOutput:
    """Return Σ w·value, Σ w, and for each metric (Σ w·metric, Σ w); sums in float64."""
    weight_N = wide(weight_N.detach())
    total = (wide(value_N) * weight_N).sum().to(value_N.dtype)
    # One transfer from the device for all numbers.
    sums = torch.stack(
        [weight_N.sum(), *((wide(metric_N.detach()) * weight_N).sum() for metric_N in metrics_N.values())]
    )
    count, *values = sums.tolist()
    return LossOutput(total, count, {name: (value, count) for name, value in zip(metrics_N, values, strict=True)})
