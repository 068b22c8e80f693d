"""Rows end to end in one sequence: nothing is padded, and what rows begin with is computed once.

The tokens form a tree of at most three levels: what all prompts begin with, the rest of each distinct prompt, the rest
of each row. All of a transformer but attention works on single tokens and need not know. Attention takes the segments
of a level side by side, behind the keys and values of what precedes them; gradients of all rows add up in what they
share. Only rounding differs from padded rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from unswayed.engine.batching import common_prefix

MIN_SHARED = 8  # a shorter common beginning does not pay for a level of its own
ATTENTION = "unswayed_packed"


@dataclass(frozen=True, slots=True)
class Level:
    """Segments that attend to their own past and to all of what precedes them.

    Attributes:
        tokens: where they lie in the packed sequence, end to end.
        count: how many they are; some may be empty.
        width: tokens of the longest.
        place_N: where each token goes when they lie side by side, `count` x `width`; None where it is there already.
        before: for each earlier level the segment that precedes each segment here, `[count]`; None: its only one.
        mask: additive [count or 1, 1, width, keys]; None where nothing precedes, and causality is all there is.
    """

    tokens: slice
    count: int
    width: int
    place_N: Tensor | None
    before: tuple[Tensor | None, ...]
    mask: Tensor | None

    def side_by_side(self, states_THD: Tensor) -> Tensor:
        """Return [count, width, H, D], zero where a segment has no token."""
        shape = states_THD.shape[1:]
        own = states_THD[self.tokens].flatten(1)
        if self.place_N is not None:
            own = _Spread.apply(own, self.place_N, self.count * self.width)  # type: ignore[no-untyped-call]
        return own.view(self.count, self.width, *shape)

    def end_to_end(self, states_SWHD: Tensor) -> Tensor:
        """Return [N, H, D], the inverse of `side_by_side`."""
        shape = states_SWHD.shape[2:]
        own = states_SWHD.reshape(self.count * self.width, -1)
        if self.place_N is not None:
            own = _Collect.apply(own, self.place_N)  # type: ignore[no-untyped-call]
        return own.view(-1, *shape)


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows as one sequence.

    Attributes:
        ids_1T, positions_1T: token ids, and where in its row each token stands.
        levels: from the common beginning to the ends of the rows.
        columns: for each row, where in the sequence its tokens lie.
    """

    ids_1T: Tensor
    positions_1T: Tensor
    levels: tuple[Level, ...]
    columns: tuple[tuple[int, ...], ...]


def pack(
    prompts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], device: torch.device, dtype: torch.dtype
) -> Packed:
    """Lay out rows that begin with their prompts; a prompt may end after its row.

    Args:
        dtype: of the keys, for the masks.
    """
    heads = [tuple(prompt[: len(row)]) for prompt, row in zip(prompts, rows, strict=True)]
    number = {head: place for place, head in enumerate(dict.fromkeys(heads))}
    owner = [number[head] for head in heads]
    shared = common_prefix(heads) if len(heads) > 1 else 0
    shared = shared if shared >= MIN_SHARED else 0
    apart = [shared] * len(rows)
    # For each level its segments, and which of them each row runs through.
    stages: list[tuple[list[Sequence[int]], list[int]]] = [([heads[0][:shared]], [0] * len(rows))]
    if len(number) < len(rows):
        stages.append(([head[shared:] for head in number], owner))
        apart = [len(head) for head in heads]
    stages.append(([row[start:] for row, start in zip(rows, apart, strict=True)], list(range(len(rows)))))

    ids: list[int] = []
    positions: list[int] = []
    columns: list[list[int]] = [[] for _ in rows]
    lengths: list[list[int]] = []
    routes: list[list[int]] = []
    levels: list[Level] = []
    for segments, route in stages:
        if not any(segments):
            continue
        one = [route.index(place) for place in range(len(segments))]  # of the rows through each segment
        spans = []
        for segment, row in zip(segments, one, strict=True):
            spans.append(range(len(ids), len(ids) + len(segment)))
            positions.extend(range(len(columns[row]), len(columns[row]) + len(segment)))
            ids.extend(segment)
        before = [[earlier[row] for row in one] for earlier in routes]
        lengths.append([len(segment) for segment in segments])
        routes.append(route)
        levels.append(_level(spans[0].start, lengths, before, device, dtype))
        for column, place in zip(columns, route, strict=True):
            column.extend(spans[place])
    return Packed(
        torch.tensor([ids], dtype=torch.long, device=device),
        torch.tensor([positions], dtype=torch.long, device=device),
        tuple(levels),
        tuple(map(tuple, columns)),
    )


def _level(
    start: int, lengths: Sequence[Sequence[int]], before: Sequence[list[int]], device: torch.device, dtype: torch.dtype
) -> Level:
    """Return the last of the levels whose segments have these lengths."""
    own = lengths[-1]
    count, width = len(own), max(own)
    place_N = None
    if min(own) < width:
        places = [segment * width + token for segment, length in enumerate(own) for token in range(length)]
        place_N = torch.tensor(places, device=device)
    mask = None
    if before:
        later = torch.ones(width, width, dtype=torch.bool, device=device).triu(1)[None]
        absent = [
            torch.arange(max(earlier), device=device) >= torch.tensor([[earlier[i]] for i in through], device=device)
            for earlier, through in zip(lengths, before, strict=False)
        ]
        # Where only the common beginning precedes, one mask serves all segments.
        rows = count if len(before) > 1 or len(lengths[0]) > 1 else 1
        hidden = torch.cat(
            [part[:rows, None].expand(-1, width, -1) for part in absent] + [later.expand(rows, -1, -1)], 2
        )
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -math.inf)[:, None]
    return Level(
        slice(start, start + sum(own)),
        count,
        width,
        place_N,
        tuple(
            None if len(earlier) == 1 else torch.tensor(through, device=device)
            for earlier, through in zip(lengths, before, strict=False)
        ),
        mask,
    )


@contextmanager
def attention_as(config: Any, implementation: str) -> Iterator[None]:
    """Let the model attend by this implementation; with `ATTENTION` it must be called with `packed=...`."""
    before = config._attn_implementation
    config._attn_implementation = implementation
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Packed,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as Transformers calls it: query [1, H, T, D] in, [1, T, H, D] out."""
    query_THD, key_THD, value_THD = (states[0].transpose(0, 1) for states in (query, key, value))
    groups = query.shape[1] // key.shape[1]
    seen: list[tuple[Tensor, Tensor]] = []
    outputs = []
    for level in packed.levels:
        own = level.side_by_side(key_THD), level.side_by_side(value_THD)
        keys, values = (
            torch.cat(
                [*(_repeat(past[side], i, level.count) for past, i in zip(seen, level.before, strict=True)), states], 1
            )
            for side, states in enumerate(own)
        )
        seen.append(own)
        shared_heads = groups > 1
        if shared_heads and level.mask is not None and query.device.type != "cpu":
            # Kernels of accelerators take key heads for several query heads only without a mask.
            keys, values = (states.repeat_interleave(groups, dim=2) for states in (keys, values))
            shared_heads = False
        output_SHWD = scaled_dot_product_attention(
            level.side_by_side(query_THD).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=level.mask,
            dropout_p=dropout,
            is_causal=level.mask is None,
            scale=scaling,
            enable_gqa=shared_heads,
        )
        outputs.append(level.end_to_end(output_SHWD.transpose(1, 2)))
    return torch.cat(outputs)[None], None


def _repeat(states: Tensor, through: Tensor | None, count: int) -> Tensor:
    """Return what precedes each of `count` segments."""
    return states.expand(count, -1, -1, -1) if through is None else states[through]


class _Spread(torch.autograd.Function):
    """Rows to their places among zeros. Places differ, so that nothing adds up, in either direction."""

    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor, place_N: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(place_N)
        return rows_ND.new_zeros(count, rows_ND.shape[1]).index_copy_(0, place_N, rows_ND)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class _Collect(torch.autograd.Function):
    """Rows back from their places."""

    @staticmethod
    def forward(ctx: Any, all_MD: Tensor, place_N: Tensor) -> Tensor:
        ctx.save_for_backward(place_N)
        ctx.count = len(all_MD)
        return all_MD.index_select(0, place_N)

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, None]:
        (place_N,) = ctx.saved_tensors
        return grad_ND.new_zeros(ctx.count, grad_ND.shape[1]).index_copy_(0, place_N, grad_ND), None


AttentionInterface.register(ATTENTION, _attend)
