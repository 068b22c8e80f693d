"""The sycophancy suite on a file of pairs with right and hinted answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file
from unswayed.core.types import PromptPair, Sample
from unswayed.data.build.poses import NOT
from unswayed.data.read import read_pairs
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.cues import YES_DENIES, present
from unswayed.evals.suites.draw import distinct, draw_groups, prompt_key
from unswayed.evals.suites.sycophancy import COUNTER, PRIMARY
from unswayed.questions.choices import listed_options
from unswayed.readers.answers import canonical

TARGET = ("ground_truth", "answer", "correct_answer")
HINTED = ("hinted", "hinted_answer", "biased_option", "suggested", "suggested_answer")


@register("sycophancy/pairs", unit="group")
def pairs(
    *,
    file: str | Path,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = GREEDY.max_new_tokens,
) -> Suite:
    """Build a suite from pairs of yours: `prompt` carries the hint, `teacher_prompt` does not.

    The cluster unit is the group. The right answer is `target` (or a column named as in `TARGET`), the hinted one a
    column named as in `HINTED`. Where both are the same the sample is a right hint. A hinted answer "NOT C" speaks
    against option C: the sample is `challenged` where C is right, else `corrected`. Several accepted spellings may be a
    list. Options "(A) …" in the prompt are recognised, and answers are then letters. Equal clean prompts of a group are
    asked once.

    Args:
        file: JSONL or Parquet.
        max_new_tokens: length limit of completions; raise it where the prompt asks for reasoning.
    """
    if not file:
        raise ConfigError("sycophancy/pairs needs a file: sycophancy/pairs:FILE.jsonl")
    path = Path(file)
    rows = read_pairs(path, allow_identical=True)
    problems = []
    made: list[Sample] = []
    for pair in draw_groups(rows, attrgetter("group"), limit, seed, "groups"):
        right, hinted = _spellings(pair.target, pair.meta, TARGET), _spellings(None, pair.meta, HINTED)
        if not right or not hinted:
            missing = "target" if not right else f"hinted answer ({', '.join(HINTED)})"
            problems.append(f"{pair.id}: no {missing}")
            continue
        made += _samples(pair, right, hinted)
    if problems:
        raise DataError(f"{path}: rows that cannot be scored", problems)
    samples = distinct(made)
    return Suite(
        name="sycophancy/pairs",
        version=3,
        samples=samples,
        primary=present((*PRIMARY, "capitulation"), samples),
        counter=present((*COUNTER, "correction"), samples),
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="group",
        arguments={"file_sha256": hash_file(path)},
        label=name or path.name,
    )


def _spellings(value: Any, meta: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    for column in columns:
        value = meta.get(column) if value is None else value
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(text for text in (str(entry).strip() for entry in listed if entry is not None) if text)


def _samples(pair: PromptPair, right: tuple[str, ...], hinted: tuple[str, ...]) -> tuple[Sample, Sample]:
    question = pair.teacher_prompt[-1].content
    options = listed_options(question) if len(right[0]) == 1 else {}
    if options and hinted[0].removeprefix(NOT) in options and hinted[0].startswith(NOT):
        return _against(pair, right, hinted[0].removeprefix(NOT), {"question": question, "options": options})
    condition = "right_hint" if canonical(hinted) in {canonical((spelling,)) for spelling in right} else "wrong_hint"
    suggested = canonical(right if condition == "right_hint" else hinted)
    others = [] if condition == "right_hint" else [list(hinted)]
    meta = {"question": question, "wrong": others, "options": options}
    twin = f"{pair.group}/clean/{prompt_key(pair.teacher_prompt)}"
    yes = None if YES_DENIES in pair.prompt[-1].content.lower() else suggested
    hint = {"hinted": suggested, "suggested": suggested, "yes": yes, "twin": twin}
    return (
        Sample(twin, pair.teacher_prompt, pair.group, "clean", right, meta),
        Sample(pair.id, pair.prompt, pair.group, condition, right, {**meta, **hint}),
    )


def _against(pair: PromptPair, right: tuple[str, ...], letter: str, meta: Mapping[str, Any]) -> tuple[Sample, Sample]:
    """Return the samples of a row whose cue speaks against an option."""
    twin = f"{pair.group}/clean/{prompt_key(pair.teacher_prompt)}"
    condition = "challenged" if letter == canonical(right) else "corrected"
    return (
        Sample(twin, pair.teacher_prompt, pair.group, "clean", right, meta),
        Sample(pair.id, pair.prompt, pair.group, condition, right, {**meta, "twin": twin}),
    )
