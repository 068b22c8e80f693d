"""Separates thinking from answer in a completion, by token ids."""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.core.errors import DataError

# How models that think enclose it, as text; what a tokenizer does not read as tokens of its own is no tag.
KNOWN = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
)
# What also separates thinking from the reply where both are messages, as in the last form.
BETWEEN = "<|start|>"
# The ids that open a span of thinking, and those that close it; each may be several tokens.
Tags = tuple[tuple[int, ...], tuple[int, ...]]


def thinking_mask(prompt_ids: Sequence[int], completion_ids: Sequence[int], tags: Tags) -> list[bool]:
    """Return for each completion token whether it is thinking; the tags themselves are.

    A prompt may leave a span open, as templates do that end with the opening tag. A span that the completion never
    closes reaches to its end.
    """
    ids = (*prompt_ids, *completion_ids)
    mask: list[bool] = []
    inside = False
    while len(mask) < len(ids):
        tag = tags[inside]
        if ids[len(mask) : len(mask) + len(tag)] == tag:
            mask += [True] * len(tag)
            inside = not inside
        else:
            mask.append(inside)
    return mask[len(prompt_ids) :]


def fit_thinking(text: str, marks: tuple[str, str], *, inside: bool, closed: bool) -> str:
    """Return a given answer so that, after a prompt that opens or closes thinking, one span is opened and closed once.

    Args:
        text: the answer, with thinking of its own or without.
        marks: what opens and closes thinking, as text.
        inside: the prompt ends inside thinking. An answer without any is preceded by the closing mark; the opening mark
            of its own thinking is left out, for the prompt has it.
        closed: the prompt ends with thinking that is closed.

    Raises:
        DataError: thinking that never closes, or that begins where the prompt has closed it.
    """
    opening, closing = marks
    begins = text.lstrip().startswith(opening)
    if begins and closing not in text:
        raise DataError(f"it opens thinking with {opening} and never closes it")
    if begins and closed:
        raise DataError(
            f"it begins with {opening}, but the chat template has closed thinking already; take the thinking out, or "
            "set the template value that lets the model think (such as enable_thinking = true)"
        )
    if not inside:
        return text
    if begins:
        return text.lstrip().removeprefix(opening).removeprefix("\n")
    return text if closing in text else f"\n{closing}\n\n{text}"


def span_weights(
    prompt_ids: Sequence[int], completion_ids: Sequence[int], tags: Tags | None, *, thinking: float, answer: float
) -> tuple[float, ...]:
    """Return the weight of each completion token. Without tags everything is answer."""
    if thinking == answer or tags is None:
        return (answer,) * len(completion_ids)
    return tuple(thinking if inside else answer for inside in thinking_mask(prompt_ids, completion_ids, tags))
