"""Control, greedy self-training: the greedy completion is the label. There is no choice and no filter but blankness.

With greedy evaluation the labels are what the model says anyway, so whatever this changes is an effect of fine-tuning.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import SelfTrainingConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import GREEDY, Context, Labelled, draw, labeller, messages_of, only


@labeller("self_training")
def label(pairs: Sequence[PromptPair], config: SelfTrainingConfig, context: Context) -> list[Labelled]:
    """Take each pair's greedy completion."""
    pools = draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], GREEDY)
    return [only(pair.id, pool[0], config) for pair, pool in zip(pairs, pools, strict=True)]
