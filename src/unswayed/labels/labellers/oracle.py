"""Selectors that know the right answer, for studies: `oracle` takes a right draw, `anti_oracle` a wrong one.

They bound what any selector could do with the same candidates, and prove that a measurement has the right sign. A draw
scores 1 where the judge finds that it agrees with the pair's target, else 0; among equals the recorded seed decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import AntiOracleConfig, OracleConfig
from unswayed.core.types import PromptPair
from unswayed.data.labelled import given_target
from unswayed.labels.base import (
    Candidate,
    Context,
    Labelled,
    choose,
    draw_pools,
    item_of,
    judged,
    labeller,
    messages_of,
    unfit,
    unscored,
)

NO_TARGET = "the pair has no target"


@labeller("oracle", "anti_oracle")
def label(pairs: Sequence[PromptPair], config: OracleConfig | AntiOracleConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair that has a target, and choose by it."""
    assert context.judge is not None
    known = [pair for pair in pairs if given_target(pair)]
    pools = draw_pools(known, config, context)
    items = [
        item_of(context, pair.id, messages_of(pair, config), candidate.text, first=given_target(pair) or "")
        for pair, pool in zip(known, pools, strict=True)
        for candidate in pool
        if unfit(candidate, config) is None
    ]
    verdicts = iter(context.judge.grade(items))

    def compared(candidate: Candidate) -> Candidate:
        reason = unfit(candidate, config)
        return unscored(candidate, reason) if reason else judged(candidate, next(verdicts))

    lowest = config.name == "anti_oracle"
    chosen = {
        pair.id: choose(pair.id, list(map(compared, pool)), context.seed, lowest=lowest)
        for pair, pool in zip(known, pools, strict=True)
    }
    return [chosen.get(pair.id) or Labelled(pair.id, (), None, dropped=NO_TARGET) for pair in pairs]
