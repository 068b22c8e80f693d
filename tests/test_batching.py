"""Padding and masks come from lengths; micro-batches cover every row once."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.engine.batching import common_prefix, common_suffix, micro_batches, pad

rows = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=6)


@given(rows)
def test_common_prefix_is_shared_and_longest(rows: list[list[int]]) -> None:
    length = common_prefix(rows)
    assert len({tuple(row[:length]) for row in rows}) == 1
    assert any(len(row) == length for row in rows) or len({row[length] for row in rows}) > 1


def test_common_prefix_of_nothing_is_zero() -> None:
    assert common_prefix([]) == 0


def test_common_suffix() -> None:
    assert common_suffix([1, 2, 3, 4], [9, 3, 4]) == 2
    assert common_suffix([1], [2]) == 0


def test_masks_come_from_lengths_even_where_ids_equal_the_filler() -> None:
    ids_BT, mask_BT = pad([[0, 0, 0], [0]])
    assert ids_BT.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert mask_BT.tolist() == [[True, True, True], [True, False, False]]
    assert ids_BT.dtype == torch.long


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 7))
def test_micro_batches_cover_every_row_once(lengths: list[int], size: int) -> None:
    groups = list(micro_batches(lengths, size))
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(group) <= size for group in groups)
    ordered = [lengths[i] for group in groups for i in group]
    assert ordered == sorted(lengths, reverse=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=20), st.integers(1, 9))
@settings(deadline=None)
def test_rows_of_one_prompt_stay_together(rows: list[tuple[int, int]], size: int) -> None:
    prompts = [prompt for prompt, _ in rows]
    groups = list(micro_batches([10 * prompt + length for prompt, length in rows], size, prompts))
    order = [i for group in groups for i in group]
    assert sorted(order) == list(range(len(rows)))
    assert all(len(group) == size for group in groups[:-1])
    changes = sum(prompts[a] != prompts[b] for a, b in itertools.pairwise(order))
    assert changes == max(0, len(set(prompts)) - 1)
