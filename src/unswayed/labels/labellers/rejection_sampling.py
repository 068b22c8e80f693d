"""Control, rejection sampling: of k draws, the one that an external scorer prefers.

`scorer.kind = "reward_model"` takes any sequence-classification model; the local default is a grade by a causal model,
and by the labelled model itself where none is named, which is then self-rewarding under another name.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import RejectionSamplingConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import Context, Labelled, choose_by_scorer, labeller


@labeller("rejection_sampling")
def label(pairs: Sequence[PromptPair], config: RejectionSamplingConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and choose by the scorer."""
    return choose_by_scorer(pairs, config, context)
