"""Draws of the questions that a limited suite asks, and of the wordings that each of them is asked in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.seeding import rng
from unswayed.core.types import Message, Sample
from unswayed.questions.items import Item, arithmetic_items, fact_items

T = TypeVar("T")
ARITHMETIC = 150
"""How many arithmetic questions stand beside the facts where no items are given."""


def draw(values: Sequence[T], count: int | None, seed: int, purpose: str = "clusters") -> list[T]:
    """Return `count` of the values in their order; all of them without a count. Fewer are always a part of more."""
    if count is None or count >= len(values):
        return list(values)
    return [values[place] for place in sorted(rng(seed, f"suite/{purpose}").permutation(len(values))[:count])]


def draw_groups(
    rows: Sequence[T], group: Callable[[T], Hashable], count: int | None, seed: int, purpose: str
) -> list[T]:
    """Return the rows of `count` groups; see `draw`."""
    kept = set(draw(list(dict.fromkeys(map(group, rows))), count, seed, purpose))
    return [row for row in rows if group(row) in kept]


def draw_items(
    items: Sequence[Item] | None, topics: Sequence[str] | None, count: int | None, seed: int, purpose: str = "items"
) -> list[Item]:
    """Return `count` of the questions, of these topics; without items the packaged facts and some arithmetic."""
    pool = [*fact_items(), *arithmetic_items(ARITHMETIC)] if items is None else list(items)
    if unknown := sorted(set(topics or ()) - {item.topic for item in pool}):
        raise ConfigError(f"no questions of topic {', '.join(unknown)} among those given")
    return draw([item for item in pool if topics is None or item.topic in topics], count, seed, purpose)


def distinct(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return the first sample of each id, in order."""
    kept: dict[str, Sample] = {}
    for sample in samples:
        kept.setdefault(sample.id, sample)
    return tuple(kept.values())


def shuffled_deck(wordings: Sequence[T], seed: int) -> list[T]:
    """Return the wordings in the order in which they are dealt."""
    return [wordings[place] for place in rng(seed, "suite/deck").permutation(len(wordings))]


def deal(deck: Sequence[T], place: int, each: int) -> list[T]:
    """Return the wordings of question number `place`, `each` to a question in turn, so all are used equally often."""
    return [deck[(place * each + k) % len(deck)] for k in range(each)]


def check_each(name: str, each: int, there: int) -> None:
    """Refuse a number of wordings for each question, given as argument `name`, that is none or more than there are."""
    if not 1 <= each <= there:
        raise ConfigError(f"{name} is {each}; the families and phrasings asked for allow 1 to {there}")


def prompt_key(messages: Iterable[Message]) -> str:
    """Return a short name for a prompt, by its content."""
    return hash_json([[message.role, message.content] for message in messages])[:12]
