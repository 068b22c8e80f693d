"""Keys and values of the rows being decoded, in place.

A row owns a slot, and the token at position `t` lies in column `t` of its slot: rows of different lengths need no
padding inside the cache, and a position can not disagree with a column. Live rows are always slots 0..rows-1; a row
that ends is replaced by the last one, so retiring costs one row's copy and the live part stays a view, never a gathered
copy. A prefix common to all prompts is computed once and copied into each slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

BAND = 64
"""Columns initialised at a time."""

Write = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class SlotCache(Cache):  # type: ignore[misc]  # transformers is untyped
    """A cache whose next forward pass is announced by `prefix`, `admit` or `decode`.

    Per layer it stores keys and values `[slots, heads, columns, width]`, allocated at the first `admit`; heads and
    width are taken from the layer's first keys.
    """

    def __init__(self, slots: int, columns: int) -> None:
        super().__init__(layers=[])
        self.slots, self.columns = slots, columns
        self.prefix_length = 0
        self._stores: list[tuple[Tensor, Tensor]] = []
        self._prefixes: list[tuple[Tensor, Tensor]] = []
        self._write: Write | None = None
        self._seen = 0
        self._ready = 0

    def prefix(self, length: int) -> None:
        """The next pass is one row of `length` tokens that every prompt begins with."""
        self.prefix_length, self._write, self._seen = length, None, 0

    def admit(self, first: int, owners: Tensor, length: int) -> None:
        """The next pass holds new prompts behind the prefix, `[prompts, length]`.

        Args:
            first: the first free slot.
            owners: int64 `[new rows]`, which prompt of the pass each new row continues.
            length: tokens of the pass, padding at the right included.
        """
        start, end = self.prefix_length, self.prefix_length + length
        rows = slice(first, first + len(owners))

        def write(store: Tensor, new: Tensor, prefix: Tensor | None) -> Tensor:
            store[rows, :, start:end] = new[owners]
            if prefix is None:
                return new
            store[rows, :, :start] = prefix
            return torch.cat([prefix.expand(len(new), -1, -1, -1), new], dim=2)

        self._write, self._seen = write, start
        self._grow(end)

    def decode(self, positions: Tensor, columns: int) -> None:
        """The next pass holds one token for each live row.

        Args:
            positions: int64 `[rows]`, the column each row writes.
            columns: one more than the largest position; what attention reads.
        """
        rows = torch.arange(len(positions), device=positions.device)

        def write(store: Tensor, new: Tensor, prefix: Tensor | None) -> Tensor:
            store[rows, :, positions] = new[:, :, 0]
            return store[: len(rows), :, :columns]

        self._write, self._seen = write, columns - 1
        self._grow(columns)

    def move(self, source: int, target: int, columns: int) -> None:
        """Copy the first `columns` columns of one slot over another."""
        for store in (tensor for pair in self._stores for tensor in pair):
            store[target, :, :columns] = store[source, :, :columns]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; return all it attends to. Called by the model."""
        if self._write is None:
            self._prefixes.append((key_states, value_states))
            return key_states, value_states
        if layer_idx == len(self._stores):
            self._stores.append((self._allocate(key_states), self._allocate(value_states)))
        keys, values = self._stores[layer_idx]
        prefix_keys, prefix_values = self._prefixes[layer_idx] if self._prefixes else (None, None)
        return self._write(keys, key_states, prefix_keys), self._write(values, value_states, prefix_values)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the tokens that precede the announced pass."""
        return self._seen

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the columns attention reads in the announced pass, and where they start."""
        return self._seen + query_length, 0

    def _allocate(self, like: Tensor) -> Tensor:
        _, heads, _, width = like.shape
        store = torch.empty(self.slots, heads, self.columns, width, dtype=like.dtype, device=like.device)
        store[:, :, : self._ready] = 0
        return store

    def _grow(self, columns: int) -> None:
        # A hidden column has weight 0, but 0 x NaN is NaN: columns a shorter row has not written must hold numbers.
        # Band by band, so that memory no row reaches is never touched.
        if columns > self._ready:
            ready = min(self.columns, -(-columns // BAND) * BAND)
            for store in (tensor for pair in self._stores for tensor in pair):
                store[:, :, self._ready : ready] = 0
            self._ready = ready
