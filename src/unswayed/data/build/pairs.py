"""Pairs from items and hints: the student sees the hint, the teacher sees the question alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unswayed.core.errors import DataError
from unswayed.core.types import PromptPair
from unswayed.data.build.parts import Wording, in_turns, resolve_family, wordings_of
from unswayed.data.build.poses import Pose, choice_problem, poses
from unswayed.perturb import sycophancy
from unswayed.perturb.base import Perturbation
from unswayed.questions.items import Item
from unswayed.questions.words import mentions, spellings


def build_pairs(
    items: Iterable[Item],
    families: Iterable[str | Perturbation] = sycophancy.TRAIN_FAMILIES,
    *,
    seed: int = 0,
    phrasings: Iterable[int] | None = None,
    right_hint: bool = False,
    per_item: int | None = None,
) -> list[PromptPair]:
    """Return pairs in which a hint towards a wrong answer is added for the student.

    Args:
        items: the questions; each is one `group`.
        families: hint families, by short name (`hearsay`), registered name or as perturbations.
        seed: decides which combinations are drawn where `per_item` limits them.
        phrasings: which wordings of each family; None takes all.
        right_hint: add to every row its twin with the same wording around the right answer. A model that only learns to
            contradict hints gets the twins wrong.
        per_item: how many combinations of family, wording and wrong answer to draw for an item, families in turn; None
            takes every combination. Twins come on top.

    Returns:
        Pairs in the order of the items. `target` is the right answer; `meta` holds topic, family, phrasing, hinted,
        accepted and hint_is_right. Families of multiple-choice questions add options and options_seed (see `poses`).

    Raises:
        ConfigError: an unknown family, phrasing or option.
        DataError: a prompt that would not contain its hint, or would give the right answer away.
    """
    entries = [resolve_family(family) for family in families]
    return pairs_from(items, wordings_of(entries, phrasings), seed=seed, right_hint=right_hint, per_item=per_item)


def pairs_from(
    items: Iterable[Item], wordings: Sequence[Wording], *, seed: int, right_hint: bool, per_item: int | None
) -> list[PromptPair]:
    """The same for any set of wordings; see `build_pairs`."""
    pairs = []
    for item in items:
        posed = {form: poses(item, form, seed) for form in dict.fromkeys(entry.form for entry, _ in wordings)}
        every = [(entry, phrasing, number) for entry, phrasing in wordings for number in range(len(posed[entry.form]))]
        chosen = in_turns(item.id, every, seed, per_item)
        rows = [(entry, phrasing, posed[entry.form][number][0]) for entry, phrasing, number in chosen]
        if right_hint:  # one twin for all wrong hints that have the same
            twins = [(entry, phrasing, posed[entry.form][number][1]) for entry, phrasing, number in chosen]
            rows += {
                (entry.ref, phrasing, pose.key): (entry, phrasing, pose) for entry, phrasing, pose in twins
            }.values()
        pairs += [_pair(item, *row) for row in rows]
    return pairs


def _pair(item: Item, entry: Perturbation, phrasing: int, pose: Pose) -> PromptPair:
    family = entry.name.partition("/")[2] or entry.name
    pair = PromptPair(
        id=f"{item.id}/{family}-{phrasing}/{pose.key}",
        prompt=entry.apply(pose.clean, hint=pose.hint, phrasing=phrasing),
        teacher_prompt=pose.clean,
        group=item.id,
        axis=entry.axis,
        perturbation=entry.ref,
        target=pose.target,
        meta={
            "topic": item.topic,
            "family": family,
            "phrasing": phrasing,
            "hinted": pose.hinted,
            "accepted": list(pose.accepted),
            "hint_is_right": pose.is_right,
            **pose.extra,
        },
    )
    if problem := hint_problem(pair):
        raise DataError(f"{pair.id}: {problem}")
    return pair


def hint_problem(pair: PromptPair) -> str | None:
    """Return what is wrong with the hint of a built pair, judged by its `meta`; None where all is well or unknown.

    The student prompt must contain the hinted answer as a whole word. With a wrong hint, neither side may contain the
    right answer, and the hinted answer may not be a spelling of it. Multiple choice: see `choice_problem`.
    """
    hinted, accepted, is_right = (pair.meta.get(name) for name in ("hinted", "accepted", "hint_is_right"))
    if not isinstance(hinted, str) or not isinstance(accepted, list | tuple) or not isinstance(is_right, bool):
        return None
    if "options" in pair.meta:
        return choice_problem(pair)
    right = [str(spelling) for spelling in accepted]
    student = "\n".join(message.content for message in pair.prompt)
    teacher = "\n".join(message.content for message in pair.teacher_prompt)
    if not mentions(student, hinted):
        return f"the prompt does not contain its hint {hinted!r} as a whole word"
    if is_right:
        return None if any(mentions(hinted, form) for form in right) else f"{hinted!r} is called right, and is not"
    for form in right:
        if any(mentions(hint, form) for hint in spellings(hinted)):
            return f"the wrong hint {hinted!r} contains the right answer {form!r}"
        if mentions(student, form) or mentions(teacher, form):
            return f"the prompt gives the right answer {form!r} away"
    return None
