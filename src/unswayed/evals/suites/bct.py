"""Sycophancy suites on the bias files of bias-augmented consistency training (Chua et al., 2024), one bias a file.

A row names the right option and the one its biased context points at. Where they differ, the row measures the bias;
where they agree (163 of 817 rows of the TruthfulQA files) it is left out of every rate of following and kept as the
control for over-correction. Both contexts are asked of every model: no unbiased answer is taken over from another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.suggest import no_such
from unswayed.core.types import Message, Sample
from unswayed.data.build.poses import NOT
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.cues import COUNTER, DIRECT_TOKENS, PRIMARY, REASONED_TOKENS, present
from unswayed.evals.suites.draw import distinct, draw_groups
from unswayed.questions.choices import DIRECT, read_choices
from unswayed.sources.catalogue import read_source

BIASES: Mapping[str, tuple[str, ...]] = {
    "suggested_answer": ("bct/truthfulqa_suggested_answer",),
    "are_you_sure": ("bct/are_you_sure_mmlu", "bct/are_you_sure_truthfulqa"),
    "post_hoc": ("bct/truthfulqa_post_hoc",),
    "wrong_few_shot": ("bct/truthfulqa_wrong_few_shot",),
    "distractor_argument": ("bct/truthfulqa_distractor_argument",),
    "distractor_fact": ("bct/truthfulqa_distractor_fact",),
    "spurious_few_shot": ("bct/truthfulqa_spurious_few_shot_squares",),
}
"""Bias to the sources that hold it."""

_REASONS = re.compile(r"\s*Please think step by step and then give your answer.*?Let's think step by step:\s*\Z", re.S)
_TEXTS = ("original_question", "original_question_hash", "ground_truth", "biased_option")


@register("sycophancy/bct", sources=tuple(name for names in BIASES.values() for name in names))
def bct(
    *,
    bias: str | None = None,
    file: str | Path | None = None,
    cot: bool = True,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int | None = None,
) -> Suite:
    """Build a bias file of bias-augmented consistency training: each row in its unbiased and its biased context.

    The cluster unit is the question. Conditions: `clean` is the unbiased context. `wrong_hint` and `right_hint` point
    at an option; where the file says "NOT C", as `are_you_sure` does, they are `challenged` (C is right) and
    `corrected`.

    Args:
        bias: one of `BIASES`; `suggested_answer` by default.
        file: a bias by name (`sycophancy/bct:post_hoc` on the command line), or a local copy of a bias file.
        cot: ask as the files do, for the reasoning first; else the request is `unswayed.questions.choices.DIRECT`.
        max_new_tokens: length limit of completions; by default 1,024, and 48 without `cot`.
    """
    if bias is None and str(file) in BIASES:
        bias, file = str(file), None
    bias = bias or "suggested_answer"
    if bias not in BIASES:
        raise ConfigError(no_such("bias", bias, BIASES))
    named = BIASES[bias] if file is None else BIASES[bias][:1]
    read = [read_source(one, file) for one in named]
    rows = [row for found, _ in read for row in found]
    if problems := [f"row {n}: {problem}" for n, row in enumerate(rows, start=1) if (problem := _problem(row))]:
        raise DataError(f"{bias}: rows that are none of a bias file", problems)
    counts = Counter[str]()
    made: list[Sample] = []
    for row in draw_groups(rows, itemgetter("original_question_hash"), limit, seed, "groups"):
        counts[row["original_question_hash"]] += 1
        made += _samples(row, bias, counts[row["original_question_hash"]], cot=cot)
    samples = distinct(made)
    identities = [identity for _, identity in read]
    sources = identities[0] if len(identities) == 1 else {"sources": identities}
    return Suite(
        name="sycophancy/bct",
        version=1,
        samples=samples,
        primary=present(PRIMARY, samples),
        counter=present(COUNTER, samples),
        params=replace(GREEDY, max_new_tokens=max_new_tokens or (REASONED_TOKENS if cot else DIRECT_TOKENS)),
        arguments={**sources, "cot": cot, "bias": bias},
        label=name or bias,
    )


def _problem(row: Mapping[str, Any]) -> str | None:
    if lacking := [key for key in _TEXTS if not isinstance(row.get(key), str) or not row[key]]:
        return f"{', '.join(lacking)}: missing"
    for side in ("unbiased_question", "biased_question"):
        turns = row.get(side)
        roles = ("user", "assistant", "system")
        if not isinstance(turns, list) or not turns:
            return f"{side}: is no list of messages"
        if not all(isinstance(turn, dict) and turn.get("role") in roles and turn.get("content") for turn in turns):
            return f"{side}: a message needs a role ({', '.join(roles)}) and a content"
        if turns[-1]["role"] != "user":
            return f"{side}: does not end with the user"
    try:
        options = read_choices(row["original_question"]).options
    except DataError as error:
        return f"original_question: {error}"
    for key in ("ground_truth", "biased_option"):
        if row[key].removeprefix(NOT) not in options:
            return f"{key}: {row[key]!r} is none of the options {', '.join(options)}"
    return None


def _samples(row: Mapping[str, Any], bias: str, number: int, *, cot: bool) -> tuple[Sample, Sample]:
    group, right, biased = row["original_question_hash"], row["ground_truth"], row["biased_option"]
    laid = read_choices(row["original_question"])
    meta = {"question": laid.question, "options": laid.options, "dataset": row.get("original_dataset", "")}
    clean, prompt = (_prompt(row[side], bias, cot=cot) for side in ("unbiased_question", "biased_question"))
    letter, against = biased.removeprefix(NOT), biased.startswith(NOT)
    cue: dict[str, Any] = {"twin": f"{group}/clean", "bias": bias}
    if against:
        condition = "challenged" if letter == right else "corrected"
        cue["yes"] = letter
    else:
        condition = "right_hint" if letter == right else "wrong_hint"
        cue["hinted"] = letter
    if bias == "suggested_answer":
        cue |= {"suggested": letter, "yes": letter}
    return (
        Sample(f"{group}/clean", clean, group, "clean", (right,), meta),
        Sample(f"{group}/{bias}/{number}", prompt, group, condition, (right,), {**meta, **cue}),
    )


def _prompt(turns: Sequence[Mapping[str, str]], bias: str, *, cot: bool) -> tuple[Message, ...]:
    messages = [Message(turn["role"], turn["content"]) for turn in turns]  # type: ignore[arg-type]
    if not cot:
        text, found = _REASONS.subn(lambda _: f"\n\n{DIRECT}", messages[-1].content)
        if not found:
            raise ConfigError(f"the bias {bias} is worded for reasoning only; leave cot as it is")
        messages[-1] = Message("user", text)
    return tuple(messages)
