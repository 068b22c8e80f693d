"""For studies: selectors that know the right answer. `oracle` takes a right draw, `anti_oracle` a wrong one.

They bound what any selector could do with the same candidates, and prove that a measurement has the right sign. A draw
scores 1 where the judge finds that it agrees with the pair's target, else 0; among equals the recorded seed decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unswayed.config.labels import AntiOracleConfig, OracleConfig
from unswayed.core.types import PromptPair, Score
from unswayed.data.labelled import given_target
from unswayed.labels.base import Candidate, Context, Labelled, choose, draw_pools, messages_of, unfit

NO_TARGET = "the pair has no target"


def label(pairs: Sequence[PromptPair], config: OracleConfig | AntiOracleConfig, context: Context) -> list[Labelled]:
    """Draw `config.k` completions for each pair that has a target, and choose by it."""
    assert context.judge is not None
    known = [pair for pair in pairs if given_target(pair)]
    pools = draw_pools(known, config, context)
    cases = [
        (pair.id, messages_of(pair, config), given_target(pair) or "", candidate.text)
        for pair, pool in zip(known, pools, strict=True)
        for candidate in pool
        if unfit(candidate, config) is None
    ]
    verdicts = iter(context.judge.agree(cases))

    def judged(candidate: Candidate) -> Candidate:
        reason = unfit(candidate, config)
        score, said = (Score(None, reason=reason), None) if reason else next(verdicts)
        return replace(candidate, score=score, said=said)

    lowest = config.name == "anti_oracle"
    chosen = {
        pair.id: choose(pair.id, list(map(judged, pool)), context.seed, lowest=lowest)
        for pair, pool in zip(known, pools, strict=True)
    }
    return [chosen.get(pair.id) or Labelled(pair.id, (), None, dropped=NO_TARGET) for pair in pairs]
