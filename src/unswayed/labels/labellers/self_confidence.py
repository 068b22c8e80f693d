r"""Self-confidence: of k draws, the one with the highest mean token log-probability.

    s(y) = 1/|y| · Σ_t log π(y_t | x, y_<t)        under the untempered policy, the stop token among the tokens

A reply that is only a stop token would often win: one token, and a likely one. It has no score here. What is left of
the preference for short and templated replies is measured, see `chosen_tokens` in the summary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unswayed.config.labels import SelfConfidenceConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import Candidate, Context, Labelled, choose_from_pools, labeller


@labeller("self_confidence")
def label(pairs: Sequence[PromptPair], config: SelfConfidenceConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose by likelihood."""
    return choose_from_pools(pairs, config, context, confidence)


def confidence(candidate: Candidate) -> float:
    """Return the mean log-probability of a candidate's tokens, in nats."""
    return math.fsum(candidate.logprobs) / len(candidate.logprobs)
