"""How one token is chosen: pure functions of logits and one uniform number per row.

Tokens are drawn by inverting the cumulative distribution. One float64 uniform decides one token, so a rollout depends
on its own numbers and on nothing else in the batch, and without truncation no vocabulary is ever sorted. Sums along the
vocabulary run in float64: in float32 the rounding of a running sum over 150k tokens would be larger than the
probability of most of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unswayed.core.errors import ConfigError
from unswayed.core.types import SamplingParams

BLOCK = 256
"""Neighbouring tokens whose weights are summed before any of them is looked at."""
CACHED = 1 << 17
"""Numbers raised to float64 at a time."""


def check_params(params: SamplingParams) -> None:
    """Refuse sampling parameters that cannot be followed.

    Raises:
        ConfigError: naming the field, its value and what is allowed.
    """
    if not (math.isfinite(params.temperature) and params.temperature >= 0):
        raise ConfigError(f"temperature = {params.temperature}: give 0 (most likely token) or a positive number")
    if not 0 < params.top_p <= 1:
        raise ConfigError(f"top_p = {params.top_p}: give a number above 0 and at most 1 (1 keeps every token)")
    if params.top_k < 0:
        raise ConfigError(f"top_k = {params.top_k}: give 0 (keeps every token) or a positive number")
    if params.max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens = {params.max_new_tokens}: give at least 1")
    if params.n < 1:
        raise ConfigError(f"n = {params.n}: give at least 1 completion for each prompt")
    if params.n > 1 and params.temperature == 0:
        raise ConfigError(
            f"n = {params.n} at temperature 0 gives {params.n} identical completions: set n = 1 or a temperature"
        )


def choose(logits_BV: Tensor, uniforms_B: Tensor | None, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """Choose one token for each row.

    Args:
        logits_BV: raw scores; anything below float32 is raised to float32.
        uniforms_B: float64 in [0, 1), one per row; unused and may be None at temperature 0.
        params: temperature, then top_k, then top_p, in this order.

    Returns:
        ids_B: int64. At temperature 0 the lowest of tied ids. A token of probability 0 is never drawn.
        logprobs_B: float64, of the chosen tokens under softmax(logits), before temperature and truncation, in nats.
            NaN for a row with a logit that is not finite.
    """
    logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32))
    policy_BV = torch.softmax(logits_BV, dim=-1)
    top_B = logits_BV.amax(dim=-1)
    if params.temperature == 0:
        ids_B = logits_BV.argmax(dim=-1)
    else:
        assert uniforms_B is not None
        weights_BV = policy_BV
        if params.temperature != 1:
            weights_BV = torch.softmax((logits_BV - top_B[:, None]) / params.temperature, dim=-1)
        if params.top_k or params.top_p < 1:
            weights_BV = truncate(weights_BV, params.top_k, params.top_p)
        ids_B = invert(weights_BV, uniforms_B)
    logprobs_B = _logprobs(logits_BV, policy_BV, ids_B)
    return ids_B, logprobs_B.masked_fill(~logits_BV.amin(dim=-1).isfinite(), math.nan)


def tempered_logprobs(logits_BV: Tensor, ids_B: Tensor, temperature: float) -> Tensor:
    """Return float64 log-probabilities of given tokens under softmax(logits / temperature), in nats."""
    scaled_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32)) / temperature
    return _logprobs(scaled_BV, torch.softmax(scaled_BV, dim=-1), ids_B)


def _logprobs(logits_BV: Tensor, policy_BV: Tensor, ids_B: Tensor) -> Tensor:
    # The probability of the top token is at least 1/V, so the normaliser is found without underflow.
    log_normaliser_B = logits_BV.amax(dim=-1).double() - policy_BV.amax(dim=-1).double().log()
    return logits_BV.gather(-1, ids_B[:, None])[:, 0].double() - log_normaliser_B


def invert(weights_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Draw from unnormalised weights: the first id whose cumulative weight exceeds uniform x total.

    Args:
        weights_BV: not negative, at least one positive in each row.
        uniforms_B: float64 in [0, 1).

    Returns:
        ids_B: int64; ids of weight 0 are never returned, since the cumulative sum does not rise at them.

    First a block of neighbours is found in the running sum of blocks, then the token in that block: two short running
    sums in place of one over the whole vocabulary.
    """
    vocabulary = weights_BV.shape[-1]
    sums_Bn = _block_sums(weights_BV)
    before_Bn = nn.functional.pad(sums_Bn.cumsum(dim=-1), (1, 0))
    # The largest float64 below 1 is 1 - 2^-53, and its product with any total rounds to below that total.
    target_B1 = (uniforms_B * before_Bn[:, -1])[:, None]
    # Rows that are not finite find nothing; clamping keeps their id valid until the caller reports them.
    block_B1 = torch.searchsorted(before_Bn[:, 1:].contiguous(), target_B1, right=True).clamp_(max=sums_Bn.shape[1] - 1)
    ids_BK = block_B1 * BLOCK + torch.arange(BLOCK, device=weights_BV.device)
    inside_BK = weights_BV.gather(-1, ids_BK.clamp(max=vocabulary - 1)).double()
    inside_BK = inside_BK.masked_fill_(ids_BK >= vocabulary, 0).cumsum(dim=-1)
    # A block's sum and its running sum may round apart; what is left to find stays below what the block holds.
    rest_B1 = target_B1 - before_Bn.gather(-1, block_B1)
    rest_B1 = torch.minimum(rest_B1, inside_BK[:, -1:].nextafter(torch.zeros_like(rest_B1)))
    within_B1 = torch.searchsorted(inside_BK, rest_B1, right=True).clamp_(max=BLOCK - 1)
    return (block_B1 * BLOCK + within_B1)[:, 0].clamp_(max=vocabulary - 1)


def _block_sums(weights_BV: Tensor) -> Tensor:
    """Return float64 sums of each `BLOCK` neighbours, the last of what is left over."""
    whole = weights_BV.shape[-1] // BLOCK * BLOCK
    # A float64 copy of a few rows stays in a CPU's cache; one of all rows costs more than everything else here.
    rows = max(1, CACHED // weights_BV.shape[-1]) if weights_BV.device.type == "cpu" else len(weights_BV)
    sums = []
    for part_RV in torch.split(weights_BV, rows):
        part_RV = part_RV.double()
        blocks_Rn = part_RV[:, :whole].view(len(part_RV), whole // BLOCK, BLOCK).sum(dim=-1)
        sums.append(torch.cat([blocks_Rn, part_RV[:, whole:].sum(dim=-1, keepdim=True)], dim=-1))
    return torch.cat(sums)


def truncate(weights_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Zero what top-k, then top-p, leave out; ids keep their places.

    top-k keeps every weight at least as large as the k-th largest, ties included. top-p keeps the largest weights up to
    and including the one whose running sum reaches `top_p` of what top-k left, so at least one token always stays.
    """
    if 0 < top_k < weights_BV.shape[-1]:
        least_B1 = weights_BV.topk(top_k, dim=-1).values[:, -1:]
        weights_BV = weights_BV.masked_fill(weights_BV < least_B1, 0)
    if top_p < 1:
        sorted_BV, order_BV = weights_BV.sort(dim=-1, descending=True, stable=True)
        running_BV = sorted_BV.cumsum(dim=-1, dtype=torch.float64)
        # Keep a token while the sum before it is still short of top_p.
        reached_BV = running_BV[:, :-1] >= top_p * running_BV[:, -1:]
        sorted_BV[:, 1:].masked_fill_(reached_BV, 0)
        weights_BV = torch.zeros_like(weights_BV).scatter_(-1, order_BV, sorted_BV)
    return weights_BV
