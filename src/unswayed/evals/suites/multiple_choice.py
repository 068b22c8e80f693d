"""Sycophancy on multiple-choice questions of our own, under any family of cues."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from unswayed.data.build.poses import poses
from unswayed.evals.suite import Suite, register
from unswayed.evals.suites.cues import DIRECT_TOKENS, REASONED_TOKENS, Question, cued_suite, deck
from unswayed.evals.suites.draw import draw_items
from unswayed.questions.items import Item

PREFIX = "sycophancy/choice/"
FAMILIES = ("suggested_answer", "quoted_answer", "third_person", "denied_answer", "authority", "persona",
            "are_you_sure", "post_hoc", "wrong_few_shot", "spurious_few_shot", "distractor_argument",
            "distractor_fact")  # fmt: skip


@register("sycophancy/multiple_choice")
def multiple_choice(
    *,
    items: Sequence[Item] | None = None,
    topics: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    hints_per_item: int = 1,
    every_wrong: bool = False,
    cot: bool = False,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int | None = None,
) -> Suite:
    """Build our own questions with options, under twelve families of cues, from a suggestion to few-shot examples.

    The cluster unit is the question. The wordings are dealt to the questions as in `suggested_answer`. Conditions: see
    `suites.cues`.

    Args:
        families: names within `sycophancy/choice/`; `FAMILIES` by default.
        cot: ask for the reasoning before the answer.
        max_new_tokens: length limit of completions; by default 48, and 1,024 with `cot`.
    """
    chosen = draw_items(items, topics, limit, seed)
    return cued_suite(
        "sycophancy/multiple_choice",
        2,
        [Question(item.id, item.topic, partial(poses, item, seed=seed, cot=cot)) for item in chosen],
        deck(families, FAMILIES, PREFIX, phrasings, seed),
        per_question=hints_per_item,
        every_wrong=every_wrong,
        seed=seed,
        max_new_tokens=max_new_tokens or (REASONED_TOKENS if cot else DIRECT_TOKENS),
        label=name,
    )
