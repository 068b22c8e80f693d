"""From hidden states to per-token losses through the output embedding, a chunk of tokens at a time.

The `[N, V]` logits never exist. Each token's loss depends on its own logits alone, so its gradient with respect to its
own hidden state is known, up to the factor that arrives from above, as soon as its loss is. With a frozen head that
unit gradient is computed on the way forward and multiplied on the way back: one product with the head for the
student's logits and one for the gradient, no recomputation, and `[N, D]` kept. A head that is trained needs the
factor first, so its chunks are computed again on the way back.

Shapes: N tokens of all rows end to end, C tokens of one chunk, V vocabulary, D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Planes of logits alive at once. On a CPU they should be few bytes, but a product with fewer than about 64 rows
# is bound by reading the head; on an accelerator the products only want enough rows to be busy.
_CPU_BYTES, _CPU_ROWS = 72 << 20, 64
_ACCELERATOR_BYTES, _ACCELERATOR_ROWS = 1 << 30, 256
_TILE = 1024  # vocabulary taken at once on a CPU: the tiles of all planes stay in the cache


@dataclass(frozen=True, slots=True)
class Head:
    """What turns hidden states into logits: `softcap·tanh((h Wᵀ + b)/softcap)`.

    Attributes:
        weight_VD: output embedding, cut to the tokenizer's length.
        bias_V: or None.
        softcap: bounds the logits, as Gemma 2 does; None leaves them alone.
    """

    weight_VD: Tensor
    bias_V: Tensor | None = None
    softcap: float | None = None

    @property
    def vocab(self) -> int:
        return self.weight_VD.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Type of logits and losses: float32, or float64 with a float64 head."""
        return torch.float64 if self.weight_VD.dtype == torch.float64 else torch.float32

    def logits(self, hidden_CD: Tensor, out_CV: Tensor, slope_CV: Tensor | None = None) -> None:
        """Write the logits, and with a softcap their slope over the uncapped ones."""
        # The states are copied first: a product's rounding may depend on where in memory its factors begin, and equal
        # states must give equal logits wherever they came from.
        dtype = self.weight_VD.dtype if _native(self.weight_VD) else out_CV.dtype
        hidden_CD = hidden_CD.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for tile in tiles(out_CV):
            out_CT = out_CV[:, tile]
            _product(hidden_CD, self.weight_VD[tile], out_CT)
            if self.bias_V is not None:
                out_CT.add_(self.bias_V[tile])
            if self.softcap is not None:
                out_CT.div_(self.softcap).tanh_()
                if slope_CV is not None:
                    torch.mul(out_CT, out_CT, out=slope_CV[:, tile]).neg_().add_(1.0)
                out_CT.mul_(self.softcap)


class HeadOptions(TypedDict, total=False):
    """What every loss over the vocabulary takes beside the output embedding; see `token_divergence`."""

    head_bias: Tensor | None
    vocab: int | None
    softcap: float | None
    chunk: int | None


def make_head(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    *,
    vocab: int | None,
    softcap: float | None,
    side: str = "student",
) -> Head:
    """Return the head cut to `vocab`, having checked that everything fits; errors name the caller's argument."""
    names = ("teacher_head", "teacher_bias") if side == "teacher" else ("head_VD", "head_bias")
    if weight_VD.ndim != 2 or hidden_ND.ndim != 2 or weight_VD.shape[1] != hidden_ND.shape[1]:
        raise ValueError(
            f"{names[0]} has shape {tuple(weight_VD.shape)} and the {side} hidden states {tuple(hidden_ND.shape)}: "
            "[V, D] and [N, D] are needed"
        )
    if (hidden_ND.dtype == torch.float64) != (weight_VD.dtype == torch.float64):
        raise ValueError(f"one of the {side} hidden states and {names[0]} is float64 and the other is not")
    if bias_V is not None and bias_V.shape != (len(weight_VD),):
        raise ValueError(f"{names[1]} has shape {tuple(bias_V.shape)}, but {names[0]} has {len(weight_VD)} tokens")
    if vocab is not None and not 1 <= vocab <= len(weight_VD):
        raise ValueError(f"vocab is {vocab}, but {names[0]} has {len(weight_VD)} tokens")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap is {softcap}: it must be above 0, or None")
    return Head(weight_VD[:vocab], None if bias_V is None else bias_V[:vocab], softcap)


def check_ids(ids: Tensor, vocab: int) -> None:
    """Raise ValueError unless every id is a token of the vocabulary."""
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"ids_N is {ids.dtype}: token ids are integers")
    if ids.numel() and not bool(((ids >= 0) & (ids < vocab)).all()):
        raise ValueError(f"ids_N holds {int(ids.min())} to {int(ids.max())}, but the vocabulary is 0 to {vocab - 1}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is known of one chunk's tokens.

    Attributes:
        value_C: the loss of each token; its gradient over the logits is `scale_C1` times what replaced the logits.
        stats_MC: numbers about each token that carry no gradient.
    """

    value_C: Tensor
    stats_MC: Sequence[Tensor]
    scale_C1: Tensor


class TokenLoss(Protocol):
    """A loss of each token given its logits."""

    stats: int  # how many numbers about each token it reports
    scratch: int  # how many [C, V] planes it needs beside the logits

    def __call__(self, logits_CV: Tensor, scratch_CV: Sequence[Tensor], tokens: slice, grad: bool) -> Chunk:
        """Compute one chunk; overwrite the logits, with their unscaled gradient if `grad`."""
        ...


def per_token(
    hidden_ND: Tensor, head: Head, loss: TokenLoss, chunk: int | None = None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return value_N, differentiable in hidden states, head and bias, and the loss's detached numbers, each `[N]`.

    Raises:
        ValueError: a chunk that could hold no token.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}: it must be at least 1 token, or None to choose by memory")
    value_N, *stats = _PerToken.apply(hidden_ND, head.weight_VD, head.bias_V, _Job(head, loss, chunk))  # type: ignore[no-untyped-call]
    return value_N, tuple(stats)


@dataclass(frozen=True, slots=True)
class _Job:
    head: Head
    loss: TokenLoss
    chunk: int | None


class _PerToken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, job: _Job) -> tuple[Tensor, ...]:
        head = job.head
        wants_hidden, *wants_head = ctx.needs_input_grad[:3]
        again = any(wants_head)
        value_N = hidden_ND.new_empty(len(hidden_ND), dtype=head.dtype)
        stats_MN = hidden_ND.new_empty((job.loss.stats, len(hidden_ND)), dtype=head.dtype)
        unit_ND = hidden_ND.new_empty(hidden_ND.shape, dtype=head.dtype) if wants_hidden and not again else None
        with torch.autocast(hidden_ND.device.type, enabled=False):
            for tokens, part, gradient_CV in _chunks(hidden_ND, job, grad=unit_ND is not None):
                value_N[tokens] = part.value_C
                for stat_N, stat_C in zip(stats_MN, part.stats_MC, strict=True):
                    stat_N[tokens] = stat_C
                if unit_ND is not None:
                    torch.mul(_product_back(gradient_CV, head.weight_VD), part.scale_C1, out=unit_ND[tokens])
        # The job holds the teacher's states: kept only where they are needed again.
        ctx.job, ctx.hidden_dtype = job if again else None, hidden_ND.dtype
        ctx.save_for_backward(*((hidden_ND, weight_VD, bias_V) if again else (unit_ND,)))
        ctx.set_materialize_grads(False)
        stats = stats_MN.unbind()
        ctx.mark_non_differentiable(*stats)
        return value_N, *stats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_N is None:
            return (None,) * 4
        if ctx.job is not None:
            return *_head_gradients(ctx, grad_N), None
        (unit_ND,) = ctx.saved_tensors
        return (unit_ND * grad_N[:, None]).to(ctx.hidden_dtype), None, None, None


def _head_gradients(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Compute the chunks again, now that it is known what each token's loss counts for."""
    hidden_ND, weight_VD, bias_V = ctx.saved_tensors
    job: _Job = ctx.job
    head = job.head
    wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
    # Sums over many tokens: kept in the losses' type, however narrow the parameters are.
    d_hidden = torch.empty_like(hidden_ND, dtype=head.dtype) if wants_hidden else None
    d_weight = torch.zeros_like(weight_VD, dtype=head.dtype) if wants_weight else None
    d_bias = torch.zeros_like(bias_V, dtype=head.dtype) if wants_bias else None
    with torch.autocast(hidden_ND.device.type, enabled=False):
        for tokens, part, gradient_CV in _chunks(hidden_ND, job, grad=True):
            scale_C1 = part.scale_C1 * grad_N[tokens, None]
            if d_hidden is not None:
                torch.mul(_product_back(gradient_CV, weight_VD), scale_C1, out=d_hidden[tokens])
            if d_weight is not None:
                d_weight.addmm_(gradient_CV.t(), hidden_ND[tokens].to(head.dtype) * scale_C1)
            if d_bias is not None:
                d_bias.add_((gradient_CV.t() @ scale_C1)[:, 0])
    return (
        None if d_hidden is None else d_hidden.to(hidden_ND.dtype),
        None if d_weight is None else d_weight.to(weight_VD.dtype),
        None if d_bias is None else d_bias.to(bias_V.dtype),
    )


def _chunks(hidden_ND: Tensor, job: _Job, *, grad: bool) -> Iterator[tuple[slice, Chunk, Tensor]]:
    """Yield each chunk's tokens, what is known of them, and the unscaled gradient over its uncapped logits."""
    n, head = len(hidden_ND), job.head
    planes = 1 + job.loss.scratch + (head.softcap is not None)
    rows = min(n, job.chunk or rows_per_chunk(n, head, planes))
    plane_PCV = [hidden_ND.new_empty((rows, head.vocab), dtype=head.dtype) for _ in range(planes)]
    for start in range(0, n, max(rows, 1)):
        tokens = slice(start, min(start + rows, n))
        logits_CV, *scratch_CV = (plane_CV[: tokens.stop - start] for plane_CV in plane_PCV)
        slope_CV = scratch_CV.pop() if head.softcap is not None else None
        head.logits(hidden_ND[tokens], logits_CV, slope_CV)
        part = job.loss(logits_CV, scratch_CV, tokens, grad)
        if grad and slope_CV is not None:
            logits_CV.mul_(slope_CV)
        yield tokens, part, logits_CV


def rows_per_chunk(n: int, head: Head, planes: int) -> int:
    """Return how many tokens to take at once: as many as the memory budget holds, in even chunks."""
    cpu = head.weight_VD.device.type == "cpu"
    budget, least = (_CPU_BYTES, _CPU_ROWS) if cpu else (_ACCELERATOR_BYTES, _ACCELERATOR_ROWS)
    most = max(least, budget // (planes * head.vocab * head.dtype.itemsize))
    return math.ceil(n / math.ceil(n / most)) if n else 0


def _native(weight_VD: Tensor) -> bool:
    """Return whether products with this head exist with a result of the losses' type."""
    return weight_VD.dtype in {torch.float32, torch.float64} or (
        weight_VD.is_cuda and weight_VD.dtype == torch.bfloat16
    )


def _product(hidden_CD: Tensor, weight_TD: Tensor, out_CT: Tensor) -> None:
    """Write h Wᵀ: low-precision factors, sums and result in the losses' type."""
    if weight_TD.dtype == out_CT.dtype:
        torch.mm(hidden_CD, weight_TD.t(), out=out_CT)
    elif _native(weight_TD):
        torch.mm(hidden_CD, weight_TD.t(), out_dtype=out_CT.dtype, out=out_CT)
    else:
        torch.mm(hidden_CD, weight_TD.to(out_CT.dtype).t(), out=out_CT)


def _product_back(gradient_CV: Tensor, weight_VD: Tensor) -> Tensor:
    """Return G W in the losses' type."""
    if weight_VD.dtype == gradient_CV.dtype:
        return gradient_CV @ weight_VD
    if _native(weight_VD):
        return torch.mm(gradient_CV.to(weight_VD.dtype), weight_VD, out_dtype=gradient_CV.dtype)
    out_CD = gradient_CV.new_zeros((len(gradient_CV), weight_VD.shape[1]))
    for tile in tiles(gradient_CV):
        out_CD.addmm_(gradient_CV[:, tile], weight_VD[tile].to(gradient_CV.dtype))
    return out_CD


def tiles(plane_CV: Tensor) -> list[slice]:
    """Return the vocabulary in parts that are worked on one after the other, the last one perhaps shorter.

    On a CPU a walk over whole planes is bound by memory, many times slower than the arithmetic; an accelerator takes
    everything at once.
    """
    vocab = plane_CV.shape[1]
    width = _TILE if plane_CV.device.type == "cpu" else vocab
    return [slice(start, min(start + width, vocab)) for start in range(0, vocab, width)]


def row_dot(a_CT: Tensor, b_CT: Tensor) -> Tensor:
    """Return the dot product of each row of a with the same row of b, `[C, 1]`.

    A batched matrix product would add up whole rows in order, 100 times less exact at 150,000 tokens, and on an
    accelerator perhaps in TF32.
    """
    return (a_CT * b_CT).sum(-1, keepdim=True)


def add_up(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return the sums over tiles of each of several columns, `[C, 1]`; short sums first lose less."""
    return [torch.cat(column, -1).sum(-1, keepdim=True) for column in zip(*parts, strict=True)]
