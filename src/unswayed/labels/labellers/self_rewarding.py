"""Self-rewarding: of k draws, the one that the model itself grades highest by a rubric, from 1 to 5.

Whole numbers tie often, and then the choice is a coin flip; the summary has the tie rate and the effective k. A grade
that cannot be read is missing: it neither wins nor loses. Which way the choice leans is decided by the rubric.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import SelfRewardingConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import Context, Labelled, choose_by_scorer, labeller


@labeller("self_rewarding")
def label(pairs: Sequence[PromptPair], config: SelfRewardingConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose by the model's own grade."""
    return choose_by_scorer(pairs, config, context)
