"""Draws of target and attacker: one for each prompt, addressed by the prompt alone, and what they can cost at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from unswayed.core.seeding import seed_at
from unswayed.core.types import Completion, Message, SamplingParams, TextPolicy


class _Counts(Protocol):
    def render(self, messages: Sequence[Message]) -> tuple[int, ...]: ...


def draw_each(
    policy: TextPolicy, prompts: Sequence[tuple[Message, ...]], params: SamplingParams, seed: int, purpose: str
) -> list[Completion]:
    """Return one completion for each prompt, in order; equal prompts get different draws.

    A draw is addressed by seed, purpose, prompt and how many equal prompts stand before it, whatever else is asked.
    """
    places: dict[tuple[Message, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        places.setdefault(prompt, []).append(place)
    found: dict[int, Completion] = {}
    for count in sorted({len(own) for own in places.values()}):
        alike = [prompt for prompt, own in places.items() if len(own) == count]
        drawn = policy.complete(alike, replace(params, n=count, seed=seed_at(seed, purpose)))
        found.update(zip([place for prompt in alike for place in places[prompt]], drawn, strict=True))
    return [found[place] for place in range(len(prompts))]


def tokens_at_most(policy: TextPolicy, messages: Sequence[Message]) -> int:
    """Return how many tokens a prompt has; where the tokenizer is not here, its bytes, of which no token has none."""
    chat: _Counts | None = getattr(policy, "chat", None)
    if chat is not None:
        return len(chat.render(messages))
    return sum(len(message.content.encode()) + 64 for message in messages)
