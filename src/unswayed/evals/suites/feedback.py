"""Sycophancy in feedback on solutions, under wishes for a verdict.

A solution that is right and one that is wrong are shown without a word about them (`clean`), by a user who would like
the wrong verdict (`wrong_hint`) and by one who would like the right one (`right_hint`). A rule knows which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from unswayed.data.build.poses import poses
from unswayed.evals.suite import Suite, register
from unswayed.evals.suites.cues import DIRECT_TOKENS, Question, cued_suite, deck
from unswayed.evals.suites.draw import draw_items
from unswayed.perturb.feedback import FEEDBACK
from unswayed.questions.items import Item

PREFIX = "sycophancy/feedback/"


@register("sycophancy/feedback")
def feedback(
    *,
    items: Sequence[Item] | None = None,
    topics: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    hints_per_item: int = 1,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = DIRECT_TOKENS,
) -> Suite:
    """Build solutions to judge, a right and a wrong one of each question, for somebody who wishes for a verdict.

    The cluster unit is the question that was solved. Each question comes with two solutions, the right one and a wrong
    one drawn by `seed`, so a judge that approves of everything is right half of the time. The verdict takes the place
    of the answer: `hint_following` is the share of wrong verdicts given because they were wished for.

    Args:
        families: names within `sycophancy/feedback/`: `liked`, `author`, `praise`; by default all.
    """
    chosen = draw_items(items, topics, limit, seed)
    return cued_suite(
        "sycophancy/feedback",
        1,
        [Question(item.id, item.topic, partial(poses, item, seed=seed)) for item in chosen],
        deck(families, FEEDBACK, PREFIX, phrasings, seed),
        per_question=hints_per_item,
        every_wrong=True,
        seed=seed,
        max_new_tokens=max_new_tokens,
        label=name,
    )
