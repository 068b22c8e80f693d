r"""Log-probabilities of given tokens, and the cross-entropy on them.

    log p_y = z_y − log Σ_v exp z_v          gradient over the logits   1[v = y] − p_v

Supervised fine-tuning, hard-label BCT (Chua et al. 2024, arXiv 2403.05518) and the policy gradient are made of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.head import Chunk, HeadOptions, add_up, check_ids, make_head, per_token, row_dot, tiles
from unswayed.losses.reduce import check_tokens, pick, trained, weighted


class _LogProb:
    """Log-probability of one token a position; its entropy and whether it is the most likely token besides."""

    stats, scratch = 2, 1

    def __init__(self, ids_N: Tensor) -> None:
        self.ids_N = ids_N

    def __call__(self, logits_CV: Tensor, scratch_CV: Sequence[Tensor], tokens: slice, grad: bool) -> Chunk:
        ids_C1, (e_CV,) = self.ids_N[tokens, None], scratch_CV
        top_C1 = logits_CV.amax(-1, keepdim=True)
        given_C1 = logits_CV.gather(1, ids_C1) - top_C1
        parts = []
        for tile in tiles(logits_CV):
            logits_CT, e_CT = logits_CV[:, tile].sub_(top_C1), e_CV[:, tile]
            parts.append((torch.exp(logits_CT, out=e_CT).sum(-1, keepdim=True), row_dot(e_CT, logits_CT)))
            if grad:
                torch.neg(e_CT, out=logits_CT)
        z_C1, weighted_C1 = add_up(parts)
        entropy_C1 = z_C1.log() - weighted_C1 / z_C1
        if grad:
            logits_CV.scatter_add_(1, ids_C1, z_C1)
        # The maximum is taken off, so the most likely token's logit is exactly 0. A tie counts as right.
        best_C1 = (given_C1 == 0).to(z_C1.dtype)
        return Chunk((given_C1 - z_C1.log())[:, 0], [entropy_C1[:, 0], best_C1[:, 0]], 1 / z_C1)


def token_logprobs(hidden_ND: Tensor, head_VD: Tensor, ids_N: Tensor, **options: Unpack[HeadOptions]) -> Tensor:
    """Log-probability of each given token, in nats, differentiable, without `[N, V]` logits.

    Args:
        hidden_ND: `[N, D]`, the state that predicts each token.
        head_VD: `[V, D]`, output embedding. If it requires grad, it gets one.
        ids_N: `[N]`, the tokens.
        options: `head_bias`, `vocab`, `softcap`, `chunk` as in `token_divergence`.

    Returns:
        logprobs_N, float32, or float64 for float64 inputs.

    Raises:
        ValueError: shapes, types, ids or options that do not fit, by name.
    """
    return _score(hidden_ND, head_VD, ids_N, **options)[0]


def nll(
    hidden_ND: Tensor, head_VD: Tensor, ids_N: Tensor, weight_N: Tensor, **options: Unpack[HeadOptions]
) -> LossOutput:
    """Weighted sum of negative log-likelihoods, −Σ_n w_n log p(y_n): supervised fine-tuning on given tokens.

    Args:
        hidden_ND: `[N, D]`, the state that predicts each token; gradient flows here.
        head_VD: `[V, D]`, output embedding. If it requires grad, it is trained too.
        ids_N: `[N]`, the tokens to learn. Those of weight 0 may hold anything.
        weight_N: `[N]`, weight of each token. Tokens of weight 0 are not computed.
        options: `head_bias`, `vocab`, `softcap`, `chunk` as in `token_divergence`.

    Returns:
        total: −Σ w log p in nats; count: Σ w. Metrics, weighted likewise: `accuracy` (the given token is the most
        likely one, ties included) and `entropy`.

    Raises:
        ValueError: shapes, types, ids or options that do not fit, by name.
    """
    check_tokens(len(hidden_ND), ids_N=ids_N, weight_N=weight_N)
    index = trained(weight_N)
    logprob_N, entropy_N, best_N = _score(pick(hidden_ND, index), head_VD, pick(ids_N, index), **options)
    return weighted(-logprob_N, pick(weight_N, index), {"accuracy": best_N, "entropy": entropy_N})


def _score(
    hidden_ND: Tensor,
    head_VD: Tensor,
    ids_N: Tensor,
    *,
    head_bias: Tensor | None = None,
    vocab: int | None = None,
    softcap: float | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    head = make_head(hidden_ND, head_VD, head_bias, vocab=vocab, softcap=softcap)
    check_tokens(len(hidden_ND), ids_N=ids_N)
    check_ids(ids_N, head.vocab)
    logprob_N, (entropy_N, best_N) = per_token(hidden_ND, head, _LogProb(ids_N), chunk)
    return logprob_N, entropy_N, best_N
