"""Pairs whose two sides stand in each other's place: certain where a known perturbation says so, else what suggests it.

A pair whose teacher holds the hint trains the model to follow it. Where `perturbation` names a family of ours, its text
can be put on either side and compared with the other, which settles it. Elsewhere there are only signs, and each is
right in some experiment: a teacher may be meant to know more than the student.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.printable import printable
from unswayed.core.types import Message, PromptPair
from unswayed.data.split import phrasing_of
from unswayed.perturb import get
from unswayed.perturb.base import Perturbation
from unswayed.perturb.safety_awareness import AXIS as TOLD
from unswayed.questions.words import mentions

HINTED = ("hinted", "hint", "hinted_answer", "suggested", "suggested_answer", "biased_answer", "wrong_answer")
_MARK = "qXhintXq"  # stands for a hint that is not known, in a text that is compared afterwards
_LETTERS = tuple(f"({letter})" for letter in "ABCDEFGHIJ")


def swapped_errors(pairs: Iterable[PromptPair]) -> Iterator[str]:
    """Yield `id: reason` for each pair whose sides are certainly swapped."""
    for pair in pairs:
        if _is_swapped(pair):
            yield (
                f"{printable(pair.id, newlines=False)}: the sides are swapped: {pair.perturbation} put on "
                f"{'teacher_prompt gives prompt' if _told(pair) else 'prompt gives teacher_prompt'}; exchange the "
                "columns, or leave `perturbation` out if this is meant"
            )


def require_sides(path: Path, pairs: Sequence[PromptPair]) -> None:
    """End where sides are certainly swapped.

    Raises:
        DataError: listing those pairs.
    """
    if problems := list(swapped_errors(pairs)):
        raise DataError(f"{path}: {len(problems)} of {len(pairs)} pairs have their sides swapped:", problems)


def side_warnings(pairs: Iterable[PromptPair]) -> list[str]:
    """Return what suggests, in most pairs of unknown perturbations, that the sides are swapped."""
    unknown = [pair for pair in pairs if pair.prompt != pair.teacher_prompt and _is_swapped(pair) is None]
    found = Counter(sign for pair in unknown for sign in _signs(pair))
    return [
        f"{count:,} of {len(unknown):,} pairs {sign}. Unless the teacher is meant to see more, the columns are "
        "swapped: `prompt` is where the model fails (with the hint), `teacher_prompt` where it behaves well"
        for sign, count in found.items()
        if 2 * count > len(unknown)
    ]


def _signs(pair: PromptPair) -> Iterator[str]:
    student, teacher = (_text(side) for side in (pair.prompt, pair.teacher_prompt))
    hinted = next((pair.meta[name] for name in HINTED if isinstance(pair.meta.get(name), str)), "")
    for text, what in ((hinted, "hinted answer"), (pair.target or "", "target")):
        # Single letters are not looked for: "a" is a word.
        if len(text.strip()) > 1 and mentions(teacher, text) and not mentions(student, text):
            yield f"name the {what} in teacher_prompt but not in prompt"
    asked = [
        next((m.content for m in reversed(side) if m.role == "user"), "") for side in (pair.prompt, pair.teacher_prompt)
    ]
    if asked[0].strip() and asked[0] != asked[1] and asked[0].strip() in asked[1]:
        yield "ask in teacher_prompt what they ask in prompt, with text added"


def _text(side: Sequence[Message]) -> str:
    return "\n".join(message.content for message in side)


def _told(pair: PromptPair) -> bool:
    """Whether the pair's perturbation is put on the teacher's side."""
    return pair.perturbation.startswith(f"{TOLD}/")


def _is_swapped(pair: PromptPair) -> bool | None:
    """Whether the sides are swapped; None where the perturbation is unknown, or its text is found on neither side."""
    if pair.prompt == pair.teacher_prompt or not pair.perturbation:
        return None
    try:
        entry = get(pair.perturbation)
    except ConfigError:
        return None
    with_text, without = (pair.teacher_prompt, pair.prompt) if _told(pair) else (pair.prompt, pair.teacher_prompt)
    if _adds(entry, without, with_text, pair):
        return False
    return True if _adds(entry, with_text, without, pair) else None


def _adds(entry: Perturbation, side: tuple[Message, ...], other: tuple[Message, ...], pair: PromptPair) -> bool:
    """Whether the perturbation turns `side` into `other`, for some hint and some phrasing."""
    phrasing = phrasing_of(pair)
    numbers = range(len(entry.phrasings))
    for number in numbers if phrasing is None else (phrasing,):
        for hint in (_MARK,) if entry.form == "open" else _LETTERS:
            try:
                made = entry.apply(side, hint=hint, phrasing=number)
            except (ValueError, LookupError, TypeError, AttributeError):  # a prompt that it cannot be put on
                continue
            if len(made) == len(other) and all(map(_fits, made, other)):
                return True
    return False


def _fits(made: Message, other: Message) -> bool:
    pattern = ".+?".join(map(re.escape, made.content.split(_MARK)))
    return made.role == other.role and re.fullmatch(pattern, other.content, re.DOTALL) is not None
