r"""Labellers that choose the best of k independent draws by a score.

self_confidence      the mean token log-probability s(y) = 1/|y| · Σ_t log π(y_t | x, y_<t) under the untempered
                     policy, the stop token among the tokens. A reply that is only a stop token would often win (one
                     token, and a likely one), so it has no score. What is left of the preference for short and
                     templated replies is measured, see `chosen_tokens` in the summary.
self_rewarding       the grade from 1 to 5 that the model itself gives by a rubric. Whole numbers tie often, and then
                     the choice is random; the summary has the tie rate and the effective k. A grade that cannot be
                     read is missing: it neither wins nor loses. Which way the choice leans is decided by the rubric.
rejection_sampling   control: an external scorer. `scorer.kind = "reward_model"` takes any sequence-classification
                     model; the local default is a grade by a causal model, and by the labelled model itself where none
                     is named, which is then self-rewarding under another name.
random_selection     control: every fit draw has the score 0, so the choice is a tie broken by the recorded seed. What
                     choosing adds is measured against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from unswayed.config.labels import Pool
from unswayed.core.types import PromptPair, Score
from unswayed.labels.base import (
    Candidate,
    Context,
    Labelled,
    choose,
    draw_pools,
    labeller,
    score_pools,
    unfit,
    unscored,
)


@labeller("self_rewarding", "rejection_sampling")
def by_scorer(pairs: Sequence[PromptPair], config: Pool, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose by the context's scorer."""
    scored = score_pools(context, pairs, draw_pools(pairs, config, context), config)
    return [choose(pair.id, pool, context.seed) for pair, pool in zip(pairs, scored, strict=True)]


@labeller("self_confidence")
def by_confidence(pairs: Sequence[PromptPair], config: Pool, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose by likelihood."""
    return _by(confidence, pairs, config, context)


@labeller("random_selection")
def at_random(pairs: Sequence[PromptPair], config: Pool, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose one of them, each as likely as the others."""
    return _by(lambda candidate: 0.0, pairs, config, context)


def confidence(candidate: Candidate) -> float:
    """Return the mean log-probability of a candidate's tokens, in nats."""
    return math.fsum(candidate.logprobs) / len(candidate.logprobs)


def _by(
    score: Callable[[Candidate], float], pairs: Sequence[PromptPair], config: Pool, context: Context
) -> list[Labelled]:
    def scored(candidate: Candidate) -> Candidate:
        reason = unfit(candidate, config)
        return unscored(candidate, reason) if reason else replace(candidate, score=Score(score(candidate)))

    return [
        choose(pair.id, [scored(candidate) for candidate in pool], context.seed)
        for pair, pool in zip(pairs, draw_pools(pairs, config, context), strict=True)
    ]
