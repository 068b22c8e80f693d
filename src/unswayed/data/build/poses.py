"""How an item is put for a perturbation of each form: what is asked, what the hint is, and what would be right.

Every wrong hint comes with its twin, the same cue where it agrees with the truth. `open` and `choices` have one wrong
hint for each wrong answer; `denial` speaks against the right option, and in the twin against a wrong one; `verdict`
judges a solution that is right and one that is wrong, drawn by the seed, and the hint is the other verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.seeding import rng
from unswayed.core.types import PromptPair
from unswayed.perturb import sycophancy
from unswayed.perturb.base import Form, Prompt
from unswayed.questions.choices import Choice, choice_of, read_choices, verdict_of
from unswayed.questions.items import Item

NOT = "NOT "
"""Before a letter: the hint speaks against that option, as the BCT files write it."""


@dataclass(frozen=True, slots=True)
class Pose:
    """One way to put a cue to an item.

    Attributes:
        key: tells it from the others of its item and form.
        clean: the prompt without any cue.
        hint: what the perturbation is given.
        hinted: the answer the cue points at, as `meta["hinted"]` records it: words, a letter, or `NOT` and a letter.
        target: the right answer. `accepted`: its spellings.
        is_right: the cue agrees with the truth.
        extra: further facts for `meta`.
    """

    key: str
    clean: Prompt
    hint: str
    hinted: str
    target: str
    accepted: tuple[str, ...]
    is_right: bool
    extra: Mapping[str, Any]


def poses(item: Item, form: Form, seed: int = 0, *, cot: bool = False) -> list[tuple[Pose, Pose]]:
    """Return every wrong hint of an item with its twin.

    Args:
        item: the question.
        form: of the perturbation.
        seed: of the order of options, recorded as `meta["options_seed"]`, and of which solution is the wrong one.
        cot: options come with the request to reason first; open questions never do.
    """
    if form == "open":
        clean = sycophancy.clean_prompt(item)

        def words(key: str, hint: str) -> Pose:
            return Pose(key, clean, hint, hint, item.answer, item.accepted, key == "right", {})

        return [(words(str(n), wrong), words("right", item.answer)) for n, wrong in enumerate(item.wrong, start=1)]
    if form != "verdict":
        return choice_poses(choice_of(item, seed), form, seed, cot=cot)
    claims = (item.answer, item.wrong[int(rng(seed, f"solution/{item.id}").integers(len(item.wrong)))])
    made = []
    for n, claimed in enumerate(claims, start=1):
        judged = verdict_of(item, claimed, seed)
        wrong = _lettered(str(n), judged, judged.wrong[0], seed, cot=cot, claimed=claimed)
        made.append((wrong, _lettered(f"{n}-right", judged, judged.answer, seed, cot=cot, claimed=claimed)))
    return made


def choice_poses(choice: Choice, form: Form, seed: int = 0, *, cot: bool = False) -> list[tuple[Pose, Pose]]:
    """The same for a question that comes with its options; `form` is `choices` or `denial`."""
    if form == "denial":
        denied = _lettered("1", choice, choice.answer, seed, NOT, cot=cot)
        return [(denied, _lettered("right", choice, choice.wrong[0], seed, NOT, cot=cot))]
    right = _lettered("right", choice, choice.answer, seed, cot=cot)
    return [(_lettered(str(n), choice, letter, seed, cot=cot), right) for n, letter in enumerate(choice.wrong, start=1)]


def _lettered(key: str, choice: Choice, letter: str, seed: int, against: str = "", *, cot: bool, **extra: str) -> Pose:
    return Pose(
        key,
        choice.prompt(cot=cot),
        f"({letter})",
        f"{against}{letter}",
        choice.answer,
        (choice.answer,),
        (letter == choice.answer) != bool(against),
        {"options": choice.lettered, "options_seed": seed, **extra},
    )


def choice_problem(pair: PromptPair) -> str | None:
    """Return what is wrong with a multiple-choice pair, judged by its `meta`; None where all is well.

    Both sides must ask the question with the recorded options, and the hint must be one of them and stand to the right
    answer as recorded.
    """
    options, hinted, is_right = (pair.meta.get(name) for name in ("options", "hinted", "hint_is_right"))
    if not isinstance(options, dict) or not isinstance(hinted, str) or pair.target not in options:
        return "options, hinted answer and target do not go together"
    letter = hinted.removeprefix(NOT)
    if letter not in options:
        return f"the hint {hinted!r} is none of the options {', '.join(options)}"
    if is_right is not ((letter == pair.target) != hinted.startswith(NOT)):
        return f"the hint {hinted!r} is called {'right' if is_right else 'wrong'}, and is not: {pair.target!r} is right"
    if pair.prompt == pair.teacher_prompt:
        return "the prompt has no hint"
    for side, messages in (("prompt", pair.prompt), ("teacher_prompt", pair.teacher_prompt)):
        listed = [message.content for message in messages if message.role == "user" and "\n(A) " in message.content]
        try:
            found = read_choices(listed[-1]).options if listed else {}
        except DataError as error:
            return str(error)
        if found.keys() != options.keys() or any(not found[name].startswith(options[name]) for name in options):
            return f"{side} does not list the options {', '.join(options)} as recorded"
    return None
