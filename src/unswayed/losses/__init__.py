"""Losses: pure functions of tensors that return a sum and a count. See docs/losses.md.

Shapes, in every name: B rows, N tokens of all rows end to end, V vocabulary, D width, L layers, K top-k, C tokens of
one chunk. Divergences are in nats. A list of lengths is `_B`.
"""

from unswayed.losses.activation import activation_mse
from unswayed.losses.divergence import (
    TokenDivergence,
    divergence,
    forward_kl,
    jsd,
    reverse_kl,
    token_divergence,
    topk_divergence,
)
from unswayed.losses.likelihood import nll, token_logprobs
from unswayed.losses.policy_gradient import constant_penalty, sampled_reverse_kl
from unswayed.losses.reduce import weights_by_row

__all__ = [
    "TokenDivergence",
    "activation_mse",
    "constant_penalty",
    "divergence",
    "forward_kl",
    "jsd",
    "nll",
    "reverse_kl",
    "sampled_reverse_kl",
    "token_divergence",
    "token_logprobs",
    "topk_divergence",
    "weights_by_row",
]
