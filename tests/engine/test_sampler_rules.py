"""The choice of one token: exact probabilities by sweeping the uniform, and agreement with Transformers' truncation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import TopKLogitsWarper, TopPLogitsWarper

from unswayed.core.seeding import rng, uniforms
from unswayed.core.types import SamplingParams
from unswayed.engine.decode.sampling_rules import choose, invert, truncate

JUST_BELOW_ONE = 1 - 2.0**-53


def logits(rows: int, size: int, seed: int = 0, scale: float = 2.0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(rng(seed, "logits").normal(size=(rows, size)) * scale).to(dtype)


def swept(weights: torch.Tensor, steps: int) -> torch.Tensor:
    """How often each id comes out when the uniform visits the middle of `steps` equal cells."""
    grid = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    return torch.bincount(invert(weights.expand(steps, -1), grid), minlength=len(weights)).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_token_owns_its_probability_of_the_uniforms(dtype: torch.dtype) -> None:
    steps = 20_000
    probabilities = logits(1, 50, scale=3.0, dtype=dtype)[0].softmax(-1)
    # An interval of length p holds p * steps grid points, to within one at its two ends together.
    assert (swept(probabilities, steps) - probabilities.double() * steps).abs().max() <= 1 + 1e-2
    assert torch.equal(swept(probabilities * 8, steps), swept(probabilities, steps)), "the total does not matter"


def test_boundaries_fall_where_the_distribution_says() -> None:
    weights = torch.tensor([[0.25, 0.0, 0.5, 0.25]], dtype=torch.float64)
    for uniform, expected in [
        (0.0, 0), (0.25 - 1e-16, 0), (0.25, 2), (0.75 - 1e-15, 2), (0.75, 3), (JUST_BELOW_ONE, 3)
    ]:  # fmt: skip
        assert invert(weights, torch.tensor([uniform], dtype=torch.float64)).item() == expected


@settings(deadline=None, max_examples=300)
@given(total=st.floats(1e-300, 1e300))
def test_the_largest_uniform_stays_below_the_total(total: float) -> None:
    weights = torch.tensor([[total, 0.0]], dtype=torch.float64)
    assert invert(weights, torch.tensor([JUST_BELOW_ONE], dtype=torch.float64)).item() == 0


@settings(deadline=None, max_examples=300)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.0, 1e-30, 1e-8, 0.1, 1 / 3, 1.0, 7.7]), min_size=1, max_size=12),
    uniform=st.one_of(st.floats(0, JUST_BELOW_ONE), st.sampled_from([0.0, JUST_BELOW_ONE, 0.5])),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_token_of_weight_zero_is_never_drawn(weights: list[float], uniform: float, dtype: torch.dtype) -> None:
    row = torch.tensor([weights], dtype=dtype)
    if row.sum() == 0:
        row[0, -1] = 1
    chosen = invert(row, torch.tensor([uniform], dtype=torch.float64)).item()
    assert row[0, int(chosen)] > 0


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 3000, 49_152, 50_001])
@pytest.mark.parametrize("rows", [1, 7])
def test_blocks_find_the_token_that_one_long_running_sum_finds(size: int, rows: int) -> None:
    for seed in range(3):
        weights = logits(rows, size, seed=seed, scale=3.0, dtype=torch.float32).softmax(-1)
        weights[:, :: seed + 2] *= seed % 2  # whole stretches of weight 0 too
        weights[:, -1] += 1e-4
        draws = torch.from_numpy(uniforms(seed, rows))
        running = weights.cumsum(-1, dtype=torch.float64)
        expected = torch.searchsorted(running, (draws * running[:, -1])[:, None], right=True)[:, 0]
        assert torch.equal(invert(weights, draws), expected)
    assert (invert(weights, torch.full((rows,), JUST_BELOW_ONE, dtype=torch.float64)) == size - 1).all()


def test_rare_tokens_of_a_large_vocabulary_keep_their_share() -> None:
    """A float32 running sum near 1 moves in steps of 6e-8 and would lose most of these tokens."""
    size = 150_000
    weights = torch.full((size,), 1e-9, dtype=torch.float32)
    weights[0] = 1.0
    total = weights.double().sum()
    for token in (1, 777, 149_999):
        middle = (1.0 + 1e-9 * (token - 0.5)) / total
        assert invert(weights[None], middle[None]).item() == token


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    count = 40_000
    row = logits(1, 12, seed=1, scale=1.0)
    draws = torch.from_numpy(uniforms(11, count))
    ids, logprobs = choose(row.expand(count, -1), draws, SamplingParams(temperature=temperature))
    expected = (row[0] / temperature).softmax(-1).numpy() * count
    assert stats.chisquare(np.bincount(ids.numpy(), minlength=12), expected).pvalue > 1e-3
    raw = row[0].log_softmax(-1)
    assert torch.allclose(logprobs, raw[ids], atol=1e-12, rtol=0), "log-probabilities are before temperature"


def test_temperature_to_zero_becomes_greedy_without_overflow() -> None:
    rows = logits(6, 30, seed=2, scale=40.0, dtype=torch.float32)
    greedy, _ = choose(rows, None, SamplingParams(temperature=0))
    for temperature in (1e-3, 1e-30, 1e-45):
        ids, logprobs = choose(
            rows, torch.full((6,), 0.999, dtype=torch.float64), SamplingParams(temperature=temperature)
        )
        assert torch.equal(ids, greedy)
        assert logprobs.isfinite().all()


def test_greedy_takes_the_lowest_of_tied_ids() -> None:
    rows = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert choose(rows, None, SamplingParams(temperature=0))[0].tolist() == [1, 0]


def test_logprobs_survive_what_underflows() -> None:
    rows = torch.tensor([[0.0, -200.0]], dtype=torch.float32)
    ids, logprobs = choose(rows, torch.tensor([0.9], dtype=torch.float64), SamplingParams(temperature=1e3))
    assert ids.item() == 1
    assert logprobs.item() == pytest.approx(-200.0, abs=1e-5)


def test_half_precision_logits_are_read_in_float32() -> None:
    rows = logits(3, 40, seed=3).to(torch.bfloat16)
    ids, logprobs = choose(rows, torch.full((3,), 0.5, dtype=torch.float64), SamplingParams())
    expected = rows.double().log_softmax(-1).gather(-1, ids[:, None])[:, 0]
    assert torch.allclose(logprobs, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_not_finite_are_marked_and_others_are_not(bad: float) -> None:
    rows = logits(3, 9, seed=4)
    rows[1, 4] = bad
    for temperature, options in ((0.0, {}), (1.0, {}), (0.7, {"top_k": 3, "top_p": 0.9})):
        params = SamplingParams(temperature=temperature, **options)
        ids, logprobs = choose(rows, torch.full((3,), 0.3, dtype=torch.float64), params)
        assert logprobs.isnan().tolist() == [False, True, False]
        assert ((ids >= 0) & (ids < 9)).all()


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 10**6), size=st.integers(1, 30), top_k=st.integers(0, 35), top_p=st.floats(0.01, 1.0),
    ties=st.booleans(),
)  # fmt: skip
def test_truncation_equals_transformers(seed: int, size: int, top_k: int, top_p: float, ties: bool) -> None:
    rows = logits(4, size, seed=seed)
    if ties:
        rows = rows.round()
        top_p = 1.0  # which of two tied tokens top-p keeps is not fixed by its definition
    expected = rows
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    kept = truncate(rows.softmax(-1), top_k, top_p)
    assert torch.allclose(kept / kept.sum(-1, keepdim=True), expected.softmax(-1), atol=1e-12)


def test_truncated_draws_keep_raw_logprobs_and_their_support() -> None:
    row = logits(1, 12, seed=5, scale=1.0)
    count = 5_000
    ids, logprobs = choose(row.expand(count, -1), torch.from_numpy(uniforms(3, count)), SamplingParams(top_k=4))
    assert set(ids.tolist()) == set(row[0].topk(4).indices.tolist())
    assert torch.allclose(logprobs, row[0].log_softmax(-1)[ids], atol=1e-12)
