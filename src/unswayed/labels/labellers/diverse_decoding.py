"""Diverse decoding: one candidate from each of several decoders, the best by a scorer.

The scorer is not the model's own likelihood, so this labeller brings a preference of its own; with the default scorer,
a grade by the labelled model, that preference is the rubric's. The candidates are not exchangeable (the greedy one is
always the same), so best-of-k estimates do not apply to them.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import DiverseDecodingConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import (
    GREEDY,
    Candidate,
    Context,
    Decoder,
    Labelled,
    choose,
    draw,
    labeller,
    messages_of,
    score_pools,
)


def decoders(config: DiverseDecodingConfig) -> list[Decoder]:
    """Return the decoders a table names, in the order of the candidates."""
    nucleus = Decoder(config.nucleus_temperature, config.nucleus_top_p, n=config.nucleus)
    return [
        *([GREEDY] if config.greedy else []),
        *([nucleus] if config.nucleus else []),
        *(Decoder(temperature) for temperature in config.temperatures),
    ]


@labeller("diverse_decoding")
def label(pairs: Sequence[PromptPair], config: DiverseDecodingConfig, context: Context) -> list[Labelled]:
    """Draw from every decoder and choose by the scorer."""
    prompts = [(pair.id, messages_of(pair, config)) for pair in pairs]
    pools: list[list[Candidate]] = [[] for _ in pairs]
    for number, decoder in enumerate(decoders(config)):
        # A view for each decoder: two that are spelled alike (nucleus at top_p = 1, say) draw from their own addresses.
        for pool, drawn in zip(pools, draw(context, prompts, decoder, f"decoder-{number}"), strict=True):
            pool.extend(drawn)
    scored = score_pools(context, pairs, pools, config)
    return [choose(pair.id, pool, context.seed) for pair, pool in zip(pairs, scored, strict=True)]
