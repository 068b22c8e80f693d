"""Samples of multiple-choice questions under a cue, for the suites on options.

A question is asked without a cue (`clean`), with a cue at a wrong option (`wrong_hint`) and with the same cue at the
right one (`right_hint`). Where a cue speaks against an option without naming another, it is `challenged` if that option
is right, and `corrected` if it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from unswayed.core.errors import ConfigError
from unswayed.core.seeding import rng
from unswayed.core.types import Sample
from unswayed.data.build.poses import NOT, Pose
from unswayed.evals.metrics import metric
from unswayed.evals.suite import GREEDY, Suite
from unswayed.evals.suites.draw import check_each, deal, distinct, shuffled_deck
from unswayed.perturb import choices, get, names
from unswayed.perturb.base import Form, Perturbation
from unswayed.questions.choices import read_choices

PRIMARY = ("hint_following", "biased_reasoning", "capitulation", "accuracy_gap")
COUNTER = ("accuracy_clean", "accuracy_right_hint", "correction", "consistency")
DIRECT_TOKENS, REASONED_TOKENS = 48, 1024

# Families whose cue is a claim that a bare "you are right" or "yes" accepts. "Yes" to "am I wrong?" does not.
_CLAIMS = frozenset({"suggested_answer", "quoted_answer", "third_person", "distractor_argument", *choices.POSED})
YES_DENIES = "am i wrong"
_ASKS_SURE = ("are you sure", "really?")


class Question(NamedTuple):
    """A question to be put under cues: `poses` gives its wrong hints with their twins for a form of perturbation."""

    id: str
    topic: str
    poses: Callable[[Form], Sequence[tuple[Pose, Pose]]]


def cued_suite(
    name: str,
    version: int,
    questions: Iterable[Question],
    wordings: Sequence[tuple[Perturbation, int]],
    *,
    per_question: int = 1,
    every_wrong: bool,
    seed: int,
    max_new_tokens: int,
    label: str,
    arguments: Mapping[str, Any] = {},
) -> Suite:
    """Return the suite of questions with options under cues, with the metrics its conditions allow.

    The wrong and the right hint of a question share their wording.

    Args:
        name, version, max_new_tokens, arguments, label: of the suite.
        questions: what is asked.
        wordings: see `deck`.
        per_question: how many wordings each question gets.
        every_wrong: one sample for each wrong hint, else for one of them, drawn by `seed`.
        seed: of that draw.
    """
    check_each("hints_per_item", per_question, len(wordings))
    samples = distinct(_cued(questions, wordings, per_question, every_wrong, seed))
    return Suite(
        name=name,
        version=version,
        samples=samples,
        primary=present(PRIMARY, samples),
        counter=present(COUNTER, samples),
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        arguments=arguments,
        label=label,
    )


def deck(
    families: Sequence[str] | None, default: Iterable[str], prefix: str, phrasings: Sequence[int] | None, seed: int
) -> list[tuple[Perturbation, int]]:
    """Return every wording of the families, shuffled; they are dealt to questions in turn.

    Args:
        families: names within `prefix`; None takes `default`.
        default: the same.
        prefix: `sycophancy/`, `sycophancy/choice/` or `sycophancy/feedback/`.
        phrasings: numbers of wordings within each family; None takes all.
        seed: of the shuffle.
    """
    short = (ref.partition("@")[0].removeprefix(prefix) for ref in names() if ref.startswith(prefix))
    known = {name for name in short if "/" not in name}
    wanted = list(dict.fromkeys(default if families is None else families))
    if unknown := [name for name in wanted if name.partition("@")[0] not in known]:
        raise ConfigError(f"no family {', '.join(unknown)} in {prefix}; there are {', '.join(sorted(known))}")
    entries = [get(f"{prefix}{name}") for name in wanted]
    numbers = None if phrasings is None else set(phrasings)
    found = [(entry, n) for entry in entries for n in range(len(entry.phrasings)) if numbers is None or n in numbers]
    if not found:
        raise ConfigError(f"no phrasing {sorted(numbers or ())} in families {', '.join(wanted)}")
    return shuffled_deck(found, seed)


def _cued(
    questions: Iterable[Question],
    wordings: Sequence[tuple[Perturbation, int]],
    per_question: int,
    every_wrong: bool,
    seed: int,
) -> Iterator[Sample]:
    for place, question in enumerate(questions):
        for k, (entry, phrasing) in enumerate(deal(wordings, place, per_question)):
            pairs = list(question.poses(entry.form))
            if not every_wrong:
                pairs = [pairs[int(rng(seed, f"suite/wrong/{question.id}", k).integers(len(pairs)))]]
            for pose in {pose.key: pose for pair in pairs for pose in pair}.values():
                yield from _samples(question, entry, phrasing, pose)


def _samples(question: Question, entry: Perturbation, phrasing: int, pose: Pose) -> tuple[Sample, Sample]:
    family = entry.name.rpartition("/")[2]
    laid = read_choices(pose.clean[-1].content)
    meta: dict[str, Any] = {"question": laid.question, "topic": question.topic, **pose.extra}
    claimed = f"/{pose.key.removesuffix('-right')}" if entry.form == "verdict" else ""
    clean = Sample(f"{question.id}/clean{claimed}", pose.clean, question.id, "clean", pose.accepted, meta)
    prompt = entry.apply(pose.clean, hint=pose.hint, phrasing=phrasing)
    against = pose.hinted.startswith(NOT)
    condition = (
        ("corrected" if against else "right_hint") if pose.is_right else "challenged" if against else "wrong_hint"
    )
    cue = {
        "twin": clean.id,
        "family": family,
        "phrasing": phrasing,
        **_meaning(family, pose.hinted.removeprefix(NOT), prompt[-1].content, against=against),
    }
    identifier = f"{question.id}/{family}-{phrasing}/{pose.key}"
    return clean, Sample(identifier, prompt, question.id, condition, pose.accepted, {**meta, **cue})


def _meaning(family: str, letter: str, said: str, *, against: bool) -> Mapping[str, str | None]:
    """Return which option the cue hints at, and which one a bare "you are right" or "yes" stands for."""
    if against:  # "yes" to "are you sure?" stands by the answer that was given; to "you made a mistake" it does not
        asks = any(words in said.lower() for words in _ASKS_SURE)
        return {"sure": letter, "yes": letter if asks else None} if family == "are_you_sure" else {}
    if family not in _CLAIMS:
        return {"hinted": letter}
    return {"hinted": letter, "suggested": letter, "yes": None if YES_DENIES in said.lower() else letter}


def present(names: Sequence[str], samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return those of the metrics that are over conditions the samples have."""
    conditions = {sample.condition for sample in samples}
    return tuple(name for name in names if conditions & set(metric(name).conditions))
