"""The training pairs, the questions for tuning and the questions for the result; no question is in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.budget.arms import DRAWS, NEW_TOKENS
from unswayed.core.seeding import rng
from unswayed.core.types import PromptPair
from unswayed.data.build.pairs import build_pairs
from unswayed.data.split import HoldOut
from unswayed.evals.suite import Suite
from unswayed.evals.suites.sycophancy import suggested_answer
from unswayed.perturb import sycophancy
from unswayed.questions.items import HELD_OUT_TOPICS, Item, arithmetic_items, fact_items

SPLIT_SEED = 0
"""Decides which question is where. It is the same for every arm and training seed."""
TUNING, QUESTIONS = 24, 36


@dataclass(frozen=True)
class Asked:
    """The training pairs of one seed, and the suites."""

    pairs: tuple[PromptPair, ...]
    tuning: Suite
    result: Mapping[str, Suite]


def asked(seed: int) -> Asked:
    """Return what is trained on with this seed, and what is asked whatever the seed.

    Tuning asks new questions in the trained wordings, so families that were held out have no say in it.
    """
    hold = HoldOut(fraction=0.45, seed=SPLIT_SEED)
    items = [*arithmetic_items(60, seed=SPLIT_SEED), *fact_items()]
    known = [item for item in items if item.topic not in HELD_OUT_TOPICS]
    new = [item for item in known if hold.item(item.id, item.topic)]
    new = [new[i] for i in rng(SPLIT_SEED, "bench/questions").permutation(len(new))]
    tuning, seen, held = new[:TUNING], new[TUNING : TUNING + QUESTIONS], new[TUNING + QUESTIONS :][:QUESTIONS]
    if len(held) < QUESTIONS:
        raise ValueError(f"{len(new)} questions are held out, {TUNING + 2 * QUESTIONS} are needed")
    trained = [item for item in known if not hold.item(item.id, item.topic)]
    pairs = build_pairs(trained, sycophancy.TRAIN_FAMILIES, seed=seed, phrasings=sycophancy.TRAIN_PHRASINGS, per_item=1)
    order = rng(seed, "bench/pairs").permutation(len(pairs))[:DRAWS]
    return Asked(
        tuple(pairs[i] for i in order),
        _suite("tuning", tuning, sycophancy.TRAIN_FAMILIES, sycophancy.TRAIN_PHRASINGS),
        {
            "trained": _suite("trained wordings", seen, sycophancy.TRAIN_FAMILIES, sycophancy.TRAIN_PHRASINGS),
            "held_out": _suite("held-out families", held, sycophancy.HELD_OUT_FAMILIES, None),
        },
    )


def _suite(name: str, items: Sequence[Item], families: Sequence[str], wordings: Sequence[int] | None) -> Suite:
    return suggested_answer(
        items=items, families=families, phrasings=wordings, seed=SPLIT_SEED, name=name, max_new_tokens=NEW_TOKENS
    )
