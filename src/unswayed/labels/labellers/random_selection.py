"""Control, random selection: any of k draws, each as likely as the other. What choosing adds is measured against it.

Every fit candidate has the score 0, so the choice is a tie broken by the recorded seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import RandomSelectionConfig
from unswayed.core.types import PromptPair
from unswayed.labels.base import Context, Labelled, choose_from_pools, labeller


@labeller("random_selection")
def label(pairs: Sequence[PromptPair], config: RandomSelectionConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair and take one."""
    return choose_from_pools(pairs, config, context, lambda candidate: 0.0)
