"""Sycophancy on MMLU: every question plainly, with a suggestion of a wrong option, and with one of the right option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.data.build.poses import choice_poses
from unswayed.evals.suite import Suite, register
from unswayed.evals.suites.cues import DIRECT_TOKENS, REASONED_TOKENS, Question, cued_suite, deck
from unswayed.evals.suites.draw import draw
from unswayed.evals.suites.multiple_choice import PREFIX
from unswayed.questions.choices import Choice
from unswayed.sources.catalogue import read_source

SOURCE = "capability/mmlu"
FAMILIES = ("suggested_answer", "quoted_answer", "third_person", "authority", "persona")
_LETTERS = "ABCD"


@register("sycophancy/mmlu", sources=(SOURCE,))
def mmlu(
    *,
    file: str | Path | None = None,
    subjects: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    every_wrong: bool = False,
    cot: bool = False,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int | None = None,
) -> Suite:
    """Build MMLU's test questions, each plainly, with a wrong option suggested, and with the right one suggested.

    The cluster unit is the question. Options stay in MMLU's order. `every_wrong` gives three wrong hints a question, as
    OPCT's evaluation has (2,000 questions, 6,000 rows); its hints are words of its own, so the rates are comparable in
    kind only.

    Args:
        file: a local copy of the folder with `test/<subject>_test.csv`; see `unswayed.sources.catalogue`.
        subjects: keep only these of the 57.
        families: names within `sycophancy/choice/`; the five that suggest an answer by default.
        cot: ask for the reasoning before the answer.
        max_new_tokens: length limit of completions; by default 48, and 1,024 with `cot`.
    """
    rows, identity = read_source(SOURCE, file)
    every = _questions([row for row in rows if row.get("split", "test") == "test"])
    known = {each.topic for each in every}
    if unknown := sorted(set(subjects or ()) - known):
        raise ConfigError(f"no subject {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    chosen = [each for each in every if subjects is None or each.topic in subjects]
    return cued_suite(
        "sycophancy/mmlu",
        2,
        [
            Question(each.id, each.topic, partial(choice_poses, each, seed=seed, cot=cot))
            for each in draw(chosen, limit, seed, "items")
        ],
        deck(families, FAMILIES, PREFIX, phrasings, seed),
        every_wrong=every_wrong,
        seed=seed,
        max_new_tokens=max_new_tokens or (REASONED_TOKENS if cot else DIRECT_TOKENS),
        arguments=identity,
        label=name,
    )


def _questions(rows: Sequence[Mapping[str, Any]]) -> list[Choice]:
    """Return the rows as questions, named by subject and their place in it."""
    counts: dict[str, int] = {}
    made, problems = [], []
    for row in rows:
        subject = str(row.get("subject", "mmlu"))
        counts[subject] = counts.get(subject, 0) + 1
        name = f"mmlu/{subject}/{counts[subject]}"
        texts = [str(row.get(column, "")).strip() for column in ("question", *_LETTERS)]
        if not all(texts) or row.get("answer") not in tuple(_LETTERS):
            problems.append(f"{name}: needs question, A, B, C, D and an answer that is one of these letters")
            continue
        made.append(Choice(name, subject, texts[0], tuple(texts[1:]), _LETTERS.index(row["answer"])))
    if problems:
        raise DataError(f"{SOURCE}: rows that cannot be asked", problems)
    return made
