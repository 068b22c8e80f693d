"""Asking a model about text that another model wrote, without letting that text take over the question."""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.core.errors import DataError
from unswayed.core.seeding import seed_at
from unswayed.core.types import Message, SamplingParams
from unswayed.labels.base import Model


def mark_of(seed: int, pair_id: str) -> str:
    """Return the mark for one pair: eight hexadecimal digits of an address."""
    return f"{seed_at(seed, f'mark:{pair_id}'):016x}"[-8:]


def ask(
    policy: Model, questions: Sequence[Sequence[Message]], max_new_tokens: int
) -> list[tuple[str, None] | tuple[None, str]]:
    """Return each question's greedy answer, or None and why it could not be asked."""
    chat = policy.chat
    ids: list[tuple[int, ...]] = []
    answers: list[tuple[str, None] | tuple[None, str]] = []
    asked: list[int] = []
    for place, messages in enumerate(questions):
        answers.append((None, ""))
        text = "".join(message.content for message in messages)
        if any(name in text for name in chat.special_tokens):
            answers[place] = (None, "a text to be judged holds special tokens")
            continue
        try:
            row = chat.render(messages)
        except DataError:
            answers[place] = (None, "the chat template refuses the question")
            continue
        if chat.context_length is not None and len(row) + max_new_tokens > chat.context_length:
            answers[place] = (None, "the question does not fit into the context")
            continue
        asked.append(place)
        ids.append(row)
    params = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens)
    for place, draws in zip(asked, policy.draw(ids, params, [[0]] * len(ids)), strict=True):
        answers[place] = (chat.decode(draws[0].completion_ids), None)
    return answers
