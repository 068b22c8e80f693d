r"""Control, exact self-distillation: one draw from the whole policy (T = 1, nothing cut away), kept whatever it is.

    E_{y~π}[∇ log π(y|x)] = 0

so on exact draws, with the loss on the response alone and no filter, the expected first update is zero. Blank and
truncated draws are part of the law and stay labels; a filter would be the effect this control must not have.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import SelfDistillationConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import Context, Decoder, Labelled, draw, labeller, messages_of

WHOLE_POLICY = Decoder(1.0)


@labeller("self_distillation")
def label(pairs: Sequence[PromptPair], config: SelfDistillationConfig, context: Context) -> list[Labelled]:
    """Take one exact draw for each pair."""
    pools = draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], WHOLE_POLICY)
    return [Labelled(pair.id, tuple(pool), 0, (0,)) for pair, pool in zip(pairs, pools, strict=True)]
