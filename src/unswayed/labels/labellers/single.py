r"""Controls without a choice: one completion is the label.

self_training       the greedy completion, without any filter but for blankness. With greedy evaluation the labels are
                    what the model says anyway, so whatever this changes is an effect of fine-tuning.
self_distillation   one draw from the whole policy (T = 1, nothing cut away), kept whatever it is:

                        E_{y~π}[∇ log π(y|x)] = 0

                    so on exact draws, with the loss on the response alone and no filter, the expected first gradient of
                    the loss summed over tokens is zero; divided by the step's own number of tokens, which is drawn
                    too, it is not. Blank and truncated draws are part of the distribution and stay labels.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import SelfDistillationConfig, SelfTrainingConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import GREEDY, Context, Decoder, Labelled, draw, labeller, messages_of, only

WHOLE_POLICY = Decoder(1.0)


@labeller("self_training")
def greedy(pairs: Sequence[PromptPair], config: SelfTrainingConfig, context: Context) -> list[Labelled]:
    """Take each pair's greedy completion."""
    pools = draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], GREEDY)
    return [only(pair.id, pool[0], config) for pair, pool in zip(pairs, pools, strict=True)]


@labeller("self_distillation")
def exact(pairs: Sequence[PromptPair], config: SelfDistillationConfig, context: Context) -> list[Labelled]:
    """Take one exact draw for each pair."""
    pools = draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], WHOLE_POLICY)
    return [Labelled(pair.id, tuple(pool), 0, (0,)) for pair, pool in zip(pairs, pools, strict=True)]
