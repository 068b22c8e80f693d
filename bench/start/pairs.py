"""As many pairs as asked for: arithmetic questions with wrong hints, each with a number of its own. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from unswayed.core.types import Message, PromptPair
from unswayed.data.build.pairs import build_pairs
from unswayed.data.read import write_pairs
from unswayed.perturb.sycophancy import TRAIN_FAMILIES
from unswayed.questions.items import arithmetic_items

ITEMS = 200


def write(path: Path, count: int) -> None:
    """Write `count` different pairs of prompts of the usual length."""
    write_pairs(path, _pairs(count))


def _pairs(count: int) -> Iterator[PromptPair]:
    built = build_pairs(arithmetic_items(ITEMS), TRAIN_FAMILIES, per_item=1)
    for number in range(count):
        pair, name = built[number % len(built)], f"pair-{number}"
        yield replace(
            pair,
            id=name,
            group=name,
            prompt=_numbered(pair.prompt, number),
            teacher_prompt=_numbered(pair.teacher_prompt, number),
        )


def _numbered(messages: tuple[Message, ...], number: int) -> tuple[Message, ...]:
    return tuple(
        replace(message, content=f"{message.content} (question {number})") if message.role == "user" else message
        for message in messages
    )
