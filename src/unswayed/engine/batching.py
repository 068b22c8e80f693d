"""From ragged rows to tensors and back: padding, masks from lengths, micro-batches.

Masks come from lengths, never from comparing ids: a pad id may equal the stop id, or be a word.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Return how many leading ids all rows share."""
    if not rows:
        return 0
    # The lexicographic extremes share exactly what all rows share.
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def pad(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows at the right to the length of the longest.

    Returns:
        ids_BT and mask_BT (bool, true at real tokens), both int64/bool on `device`. The filler is id 0; only the mask
        says what is real.
    """
    width = max((len(row) for row in rows), default=0)
    whole = [[*row, *([0] * (width - len(row)))] for row in rows]
    ids_BT = torch.tensor(whole, dtype=torch.long, device=device)
    places_T = torch.arange(width, device=device)
    lengths_B1 = torch.tensor([len(row) for row in rows], device=device)[:, None]
    return ids_BT, places_T < lengths_B1


def micro_batches(lengths: Sequence[int], size: int, prompts: Sequence[Hashable] | None = None) -> Iterator[list[int]]:
    """Yield row indices in groups of at most `size`, rows of like length together so that little is padded.

    Rows with equal prompts stay next to each other, so that few groups share a prompt. The order depends on lengths,
    prompts and positions alone, hence it is the same in a resumed run.
    """
    keys = range(len(lengths)) if prompts is None else prompts
    longest: dict[
        Hashable, tuple[int, int]
    ] = {}  # of the rows with a prompt: minus the greatest length, then its place
    for i, (key, length) in enumerate(zip(keys, lengths, strict=True)):
        longest[key] = min(longest.get(key, (0, 0)), (-length, i))
    order = sorted(range(len(lengths)), key=lambda i: (*longest[keys[i]], -lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def common_suffix(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many trailing ids two rows share."""
    return common_prefix([tuple(reversed(left)), tuple(reversed(right))])
