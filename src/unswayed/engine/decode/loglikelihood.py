"""Log-probabilities of given continuations, exact and without sampling.

A prompt is computed once for all its continuations. The state after its last token predicts the first token of each, so
where every continuation is one token (the letters of a multiple-choice question) that single pass is all there is.
Longer ones run behind the prompt's keys and values, which are repeated for them. Models that do not look back on the
whole prompt from every layer get plain padded rows instead. The two ways differ by rounding only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from unswayed.core.errors import ConfigError, NotFiniteError
from unswayed.engine.batching import pad
from unswayed.engine.decode.decodable import attention_windows
from unswayed.engine.forward import completion_hidden
from unswayed.engine.logits import LogitRule, logit_rule
from unswayed.losses.likelihood import token_logprobs

BATCH_TOKENS = {"cpu": 2048}
BATCH_TOKENS_ELSEWHERE = 16384
"""Tokens in memory at once, padding and repeated prompts included."""
HEAD_ROWS = 256

Rows = Sequence[Sequence[int]]


@torch.no_grad()
def continuation_logprobs(
    backbone: PreTrainedModel,
    head: Any,
    prompts: Rows,
    continuations: Sequence[Rows],
    *,
    vocab_size: int | None = None,
    batch_tokens: int | None = None,
    share: bool = True,
) -> list[list[float]]:
    """Return the log-probability, in nats, of each continuation of each prompt: the sum over its tokens.

    Args:
        backbone: the transformer body, in eval mode.
        head: output embedding, hidden states to logits.
        prompts: token ids, none empty.
        continuations: for each prompt its continuations as token ids, none empty.
        vocab_size: ids from here on do not exist; the policy is normalised without them.
        batch_tokens: most tokens of one pass; a single prompt with its continuations may have more.
        share: compute each prompt once, where the model allows it.

    Raises:
        ConfigError: an empty prompt or continuation, ids the model does not have, or a model that cannot be decoded or
            whose logits are not known.
        NotFiniteError: a log-probability is NaN or infinite; names prompt and continuation.
    """
    _check(prompts, continuations, vocab_size or backbone.config.get_text_config().vocab_size)
    if not prompts:
        return []
    columns = max(map(len, prompts)) + max(len(ids) for own in continuations for ids in own)
    windows = attention_windows(backbone, columns)
    rule = logit_rule(backbone.config)
    shared = share and all(window is None or window >= columns for window in windows.values())
    budget = batch_tokens or BATCH_TOKENS.get(backbone.device.type, BATCH_TOKENS_ELSEWHERE)
    # With letters alone a prompt stays one row; otherwise it is repeated for each of its continuations.
    alone = shared and columns == max(map(len, prompts)) + 1
    rows = [1 if alone else len(own) for own in continuations]
    width = [len(prompt) + max(map(len, own)) for prompt, own in zip(prompts, continuations, strict=True)]
    results: dict[int, list[float]] = {}
    for batch in _batches(rows, width, budget):
        owners = [place for place, index in enumerate(batch) for _ in continuations[index]]
        flat = [ids for index in batch for ids in continuations[index]]
        own = [prompts[index] for index in batch]
        if shared:
            hidden_ND = _behind_prompts(backbone, own, owners, flat)
        else:
            hidden_ND = completion_hidden(backbone, [own[owner] for owner in owners], flat, share_prefix=False)
        ids_N = torch.tensor([id_ for ids in flat for id_ in ids], device=hidden_ND.device)
        logprob_N = _logprobs(head, rule, hidden_ND, ids_N, vocab_size)
        parts = torch.split(logprob_N.double(), [len(ids) for ids in flat])
        sums = iter([float(part.sum()) for part in parts])
        for index in batch:
            results[index] = [next(sums) for _ in continuations[index]]
            for number, value in enumerate(results[index]):
                if not math.isfinite(value):
                    raise NotFiniteError(
                        f"log-probability of continuation {number} of prompt {index} is {value}: check the weights "
                        f"(NaN or overflow in {hidden_ND.dtype}); nothing was kept of this call"
                    )
    return [results[index] for index in range(len(prompts))]


def _logprobs(head: Any, rule: LogitRule, hidden_ND: torch.Tensor, ids_N: torch.Tensor, vocab: int | None) -> Any:
    """Return the log-probability of each token, in nats."""
    if type(head) is nn.Linear:
        bias_V = rule.scaled(head.bias)
        return token_logprobs(
            rule.scaled(hidden_ND), head.weight, ids_N, head_bias=bias_V, vocab=vocab, softcap=rule.softcap
        )
    # A head with an adapter is more than its weight.
    parts = []
    for hidden_CD, ids_C in zip(torch.split(hidden_ND, HEAD_ROWS), torch.split(ids_N, HEAD_ROWS), strict=True):
        logits_CV = rule.apply(head(hidden_CD)[:, :vocab])
        logits_CV = logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32))
        parts.append(logits_CV.gather(1, ids_C[:, None])[:, 0] - logits_CV.logsumexp(-1))
    return torch.cat(parts)


def _behind_prompts(backbone: Any, prompts: Rows, owners: Sequence[int], flat: Rows) -> torch.Tensor:
    """Return hidden_ND, the state that predicts each token of each continuation, rows end to end.

    Prompts are padded at the right. Causal attention keeps their tokens from looking there, the mask keeps the
    continuations from it, and positions are given, so padding shifts none.
    """
    device = backbone.device
    longer = max(map(len, flat)) > 1
    ids_BT, mask_BT = pad(prompts, device)
    cache = DynamicCache(config=backbone.config) if longer else None
    hidden_BTD = backbone(
        input_ids=ids_BT,
        position_ids=torch.arange(ids_BT.shape[1], device=device)[None],
        past_key_values=cache,
        use_cache=longer,
    ).last_hidden_state
    lengths_B = mask_BT.sum(1)
    owner_R = torch.tensor(owners, device=device)
    first_RD = hidden_BTD[owner_R, lengths_B[owner_R] - 1]
    if cache is None:
        return first_RD  # type: ignore[no-any-return]
    cache.batch_select_indices(owner_R)
    ids_RT, rest_RT = pad([ids[:-1] for ids in flat], device)
    hidden_RTD = backbone(
        input_ids=ids_RT,
        attention_mask=torch.cat([mask_BT[owner_R], rest_RT], dim=1),
        position_ids=lengths_B[owner_R, None] + torch.arange(ids_RT.shape[1], device=device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat(
        [part for row, ids in enumerate(flat) for part in (first_RD[row : row + 1], hidden_RTD[row, : len(ids) - 1])]
    )


def _batches(rows: Sequence[int], width: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield indices of prompts, widest first, so many at once that rows times width stays within the budget."""
    batch: list[int] = []
    for index in sorted(range(len(width)), key=lambda i: (-width[i], i)):
        if batch and (sum(rows[i] for i in batch) + rows[index]) * width[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def _check(prompts: Rows, continuations: Sequence[Rows], vocab: int) -> None:
    if len(prompts) != len(continuations):
        raise ConfigError(f"{len(prompts)} prompts but continuations for {len(continuations)}")
    for index, (prompt, own) in enumerate(zip(prompts, continuations, strict=True)):
        if not prompt or not own or not all(own):
            raise ConfigError(f"prompt {index}: the prompt or a continuation is empty; each needs at least one token")
        every = {*prompt, *(id_ for ids in own for id_ in ids)}
        if not 0 <= min(every) <= max(every) < vocab:
            raise ConfigError(
                f"prompt {index} holds ids from {min(every)} to {max(every)}, the model has {vocab}: encode it with "
                "the model's own tokenizer"
            )
