"""SAGE-Eval (arXiv 2505.21828) and its safe counterpart: prompts around 104 safety facts, scored by a judge.

The authors of SAGE-Eval ask that it is not trained on. The cluster unit is the safety fact, never the prompt: some
hundred prompts share a fact, most of them one question in another spelling or mood, and are far from independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json
from unswayed.core.types import Completion, Message, Sample, Score
from unswayed.evals.metrics.safety_awareness import LOOK_ALIKE, NAIVE
from unswayed.evals.scoring.scorers import rule
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.draw import draw
from unswayed.evals.suites.safety_awareness import PRIMARY
from unswayed.sources.catalogue import read_source

TOKENS = 1024


class _Set(NamedTuple):
    """In what the two sets differ; `augmentation` and `category` are columns."""

    name: str
    condition: str
    primary: tuple[str, ...]
    counter: tuple[str, ...]
    augmentation: str
    category: str


_SAGE = _Set("sage", NAIVE, PRIMARY, ("all_pass",), "augmentation_category", "safety_category")
_SAFE = _Set(
    "safe_sage", LOOK_ALIKE, ("over_warning", "refused_look_alike"), ("look_alike_area", "look_alike_all_pass"),
    "augmentation_type", "category",
)  # fmt: skip
_SOURCES = {"sage": "safety_awareness/sage_eval", "safe_sage": "safety_awareness/safe_sage"}


@register("safety_awareness/sage", unit="fact", sources=("safety_awareness/sage_eval",), judge="required")
def sage(
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    per_fact: int | None = None,
    augmentations: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seed: int = 0,
    max_new_tokens: int = TOKENS,
) -> Suite:
    """Build SAGE-Eval: naive questions that walk into a danger. For evaluation only.

    As published, a reply passes if it warns of the fact, offers a safer alternative, or declines; a judge decides.

    Args:
        file: a local copy with the columns `safety_fact` and `prompt`, and optionally `augmentation_category`,
            `safety_category` and `prompt_type`; `safety_awareness/sage:FILE` names it. By default from its home.
        per_fact: how many prompts of each fact, drawn by `seed`. Fewer make it easier to pass them all.
        augmentations: keep only prompts of these surface forms.
        categories: keep only facts of these domains.
    """
    return _suite(_SAGE, file, limit, per_fact, augmentations, categories, seed, max_new_tokens)


@register("safety_awareness/safe_sage", unit="fact", sources=("safety_awareness/safe_sage",), judge="required")
def safe_sage(
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    per_fact: int | None = None,
    augmentations: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seed: int = 0,
    max_new_tokens: int = TOKENS,
) -> Suite:
    """Build Safe-SAGE-Eval: prompts that look like SAGE-Eval's and hold no danger. For evaluation only.

    As published, a reply fails only if it is a bare refusal (`refused_look_alike`, and the area by fact).
    `over_warning` counts needless warnings beside it. A judge decides both.

    Args:
        file: a local copy with the columns `safety_fact` and `prompt`, and optionally `augmentation_type`, `category`
            and `prompt_type`. By default from its home.
        per_fact, augmentations, categories: as for `sage`.
    """
    return _suite(_SAFE, file, limit, per_fact, augmentations, categories, seed, max_new_tokens)


def _suite(
    which: _Set,
    file: str | Path | None,
    limit: int | None,
    per_fact: int | None,
    augmentations: Sequence[str] | None,
    categories: Sequence[str] | None,
    seed: int,
    max_new_tokens: int,
) -> Suite:
    if per_fact is not None and per_fact < 1:
        raise ConfigError(f"per_fact is {per_fact}; it counts from 1")
    rows, identity = read_source(_SOURCES[which.name], file)
    if problems := _problems(rows):
        raise DataError(f"safety_awareness/{which.name}: rows that cannot be used", problems)
    rows = _keep(rows, "augmentations", which.augmentation, augmentations)
    rows = _keep(rows, "categories", which.category, categories)
    facts = _by_fact(rows, which)
    samples: list[Sample] = []
    for group in draw(list(facts), limit, seed):
        samples += draw(list(facts[group].values()), per_fact, seed, f"prompts/{group}")
    return Suite(
        name=f"safety_awareness/{which.name}",
        version=1,
        samples=tuple(samples),
        primary=which.primary,
        counter=which.counter,
        score=_needs_judge,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="fact",
        arguments=identity,
        rubric=which.name,
        needs_judge=True,
    )


def _problems(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"row {number}: {column}: no text"
        for number, row in enumerate(rows, start=1)
        for column in ("safety_fact", "prompt")
        if not isinstance(row.get(column), str) or not row[column].strip()
    ]


def _keep(rows: list[dict[str, Any]], argument: str, column: str, wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    if wanted is None:
        return rows
    there = {str(row.get(column, "")) for row in rows}
    if unknown := sorted(set(wanted) - there):
        raise ConfigError(
            f"{argument}: no row has {', '.join(unknown)} in {column}; there are {', '.join(sorted(there))}"
        )
    return [row for row in rows if str(row.get(column, "")) in wanted]


def _by_fact(rows: Sequence[dict[str, Any]], which: _Set) -> dict[str, dict[str, Sample]]:
    """Return the samples by fact and id. A prompt that a fact lists twice is asked once."""
    facts: dict[str, dict[str, Sample]] = {}
    for row in rows:
        fact, text = row["safety_fact"].strip(), row["prompt"]
        group = f"fact-{hash_json(fact)[:8]}"
        key = f"{group}/{hash_json(text)[:12]}"
        columns = (which.category, which.augmentation, "prompt_type")
        about = {column: row[column] for column in columns if isinstance(row.get(column), str)}
        meta = {"safety_fact": fact, "request": text, "slice": about.get(which.category, ""), **about}
        facts.setdefault(group, {}).setdefault(
            key, Sample(key, (Message("user", text),), group, which.condition, meta=meta)
        )
    return facts


@rule("judged", version=1)
def _needs_judge(sample: Sample, completion: Completion) -> Score:
    return Score(None, reason="needs a judge")
