"""Capability suites: worked mathematics and multiple choice, zero-shot, scored by rule.

Sources are read from their public homes (`unswayed.sources.catalogue`). The words of the prompts are ours, so numbers
compare models under this program and are not those of a leaderboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, Sample
from unswayed.evals.scoring.checks.client import require
from unswayed.evals.scoring.mathematics import score_mathematics, score_number
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.draw import draw
from unswayed.evals.suites.questions import (
    METRICS,
    REASONING_TOKENS,
    By,
    Method,
    Row,
    choice_suite,
    choosing,
    column,
    read_rows,
    shuffled,
)
from unswayed.questions.choices import Choice
from unswayed.readers.numbers import number
from unswayed.sources.catalogue import read_source

_BOXED = "Solve the problem step by step, and put the final answer, and nothing else, into \\boxed{}."
_NUMBER = (
    'Solve the problem step by step. End your reply with one line of the form "Answer: N", where N is the number that '
    "is asked for, without a unit."
)
_ASKED_BEFORE = "Please reason step by step, and put your final answer within \\boxed{}."


@register("capability/math500", sources=("capability/math500",), extra="capability")
def math500(
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    max_new_tokens: int = REASONING_TOKENS,
) -> Suite:
    """Build MATH-500: 500 competition problems (Hendrycks et al. 2021; the split of Lightman et al. 2023).

    The last `\\boxed{}`, or what else marks the final answer, is compared by Math-Verify.

    Args:
        file: a local copy with `problem` (or `prompt`) and `answer`; optionally `subject`, `unique_id`.
    """
    packages = {"math_verify": "math-verify", "latex2sympy2_extended": "latex2sympy2_extended"}
    versions = require("capability/math500", packages)

    def sample(row: Row, place: int, where: str) -> Sample:
        problem = column(row, "problem", "prompt", "question", where=where).removesuffix(_ASKED_BEFORE).rstrip()
        meta = {"question": problem, "slice": str(row.get("subject") or "")}
        return _sample(str(row.get("unique_id") or place), _BOXED, column(row, "answer", where=where), meta)

    samples, identity = read_rows("capability/math500", file, limit, seed, sample)
    return Suite(
        name="capability/math500",
        version=1,
        samples=tuple(samples),
        score=score_mathematics,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        arguments={**identity, "checkers": versions},
        **METRICS,
    )


@register("capability/gsm8k", sources=("capability/gsm8k",))
def gsm8k(
    *, file: str | Path | None = None, limit: int | None = None, seed: int = 0, max_new_tokens: int = 1024
) -> Suite:
    """Build GSM8K: 1,319 word problems of grade school whose answers are numbers (Cobbe et al. 2021).

    Args:
        file: a local copy with `question` and `answer`, which ends in `#### NUMBER`.
    """

    def sample(row: Row, place: int, where: str) -> Sample:
        question = column(row, "question", where=where)
        answer = column(row, "answer", where=where).rpartition("####")[2].strip()
        if number(answer) is None:
            raise DataError(f"{where}: the answer ends in no number; '#### 12' is expected")
        return _sample(str(place), _NUMBER, answer, {"question": question})

    samples, identity = read_rows("capability/gsm8k", file, limit, seed, sample)
    return Suite(
        name="capability/gsm8k",
        version=1,
        samples=tuple(samples),
        score=score_number,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        arguments=identity,
        **METRICS,
    )


def _sample(name: str, instruction: str, answer: str, meta: dict[str, str]) -> Sample:
    prompt = (Message("user", f"{instruction}\n\n{meta['question']}"),)
    return Sample(name, prompt, name, "question", (answer,), meta)


@register("capability/mmlu", sources=("capability/mmlu",))
def mmlu(
    *,
    file: str | Path | None = None,
    split: str = "test",
    subjects: Sequence[str] | None = None,
    method: Method = "generate",
    by: By = "letter",
    normalisation: str | None = None,
    reasoning: bool = False,
    shuffle: bool = False,
    limit: int | None = None,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> Suite:
    """Build MMLU: 14,042 questions over 57 subjects (Hendrycks et al. 2021); subjects are slices.

    Compared by text, options are normalised per character (Gu et al. 2024, arXiv 2406.08446).

    Args:
        file: a local copy of the folder, or a file with `question`, `A` to `D`, `answer` and optionally `subject`.
        split: `test` or `dev`.
        subjects: keep only these.
        shuffle: show each question's options in an order of its own instead of the published one.
    """
    rows, identity = read_source("capability/mmlu", file)
    rows = [row for row in rows if row.get("split", split) == split]
    unknown = sorted(set(subjects or ()) - {str(row.get("subject", "")) for row in rows})
    if unknown:
        raise ConfigError(f"capability/mmlu: no subject {', '.join(unknown)} in split {split}")
    items = []
    for place, row in enumerate(rows):
        subject = str(row.get("subject") or "")
        if subjects is not None and subject not in subjects:
            continue
        where = f"capability/mmlu, row {place + 1}{f' ({subject})' if subject else ''}"
        answer = column(row, "answer", where=where)
        if answer not in "ABCD" or len(answer) != 1:
            raise DataError(f"{where}: the answer is {answer!r}, not one of A, B, C, D")
        options = tuple(column(row, letter, where=where) for letter in "ABCD")
        item = Choice(f"{split}/{place}", subject, column(row, "question", where=where), options, "ABCD".index(answer))
        items.append(shuffled(item, seed) if shuffle else item)
    drawn = draw(items, limit, seed, "questions")
    arguments = {**identity, "split": split, **({"subjects": sorted(subjects)} if subjects else {})}
    how = (method, by, normalisation, reasoning, max_new_tokens)
    return choice_suite("capability/mmlu", drawn, arguments, *how, text_normalisation="per character")


register("capability/mmlu_choose", sources=("capability/mmlu",))(choosing(mmlu, "MMLU"))


@register("capability/gpqa", sources=("capability/gpqa",))
def gpqa(
    *,
    file: str | Path | None = None,
    method: Method = "generate",
    normalisation: str | None = None,
    reasoning: bool | None = None,
    limit: int | None = None,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> Suite:
    """Build GPQA Diamond: 198 questions of graduate level (Rein et al. 2023). Gated, and for evaluation only.

    The source lists the right answer first, so every question's options are shown in an order drawn for it by `seed`.
    They are always listed.

    Args:
        file: a local copy with `Question`, `Correct Answer`, `Incorrect Answer 1` to `3`; optionally
            `High-level domain`, `Record ID`.
        reasoning: ask for reasoning before the letter; by default where the reply is written.
    """

    def item(row: Row, place: int, where: str) -> Choice:
        columns = ("Correct Answer", *(f"Incorrect Answer {number}" for number in (1, 2, 3)))
        options = tuple(column(row, name, where=where) for name in columns)
        name, domain = str(row.get("Record ID") or place), str(row.get("High-level domain") or "")
        return shuffled(Choice(name, domain, column(row, "Question", where=where), options, 0), seed)

    items, identity = read_rows("capability/gpqa", file, limit, seed, item)
    reasons = method == "generate" if reasoning is None else reasoning
    return choice_suite("capability/gpqa", items, identity, method, "letter", normalisation, reasons, max_new_tokens)


register("capability/gpqa_choose", sources=("capability/gpqa",))(choosing(gpqa, "GPQA Diamond"))


@register("capability/truthfulqa", sources=("capability/truthfulqa",))
def truthfulqa(
    *,
    file: str | Path | None = None,
    method: Method = "generate",
    by: By = "letter",
    normalisation: str | None = None,
    reasoning: bool = False,
    limit: int | None = None,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> Suite:
    """Build TruthfulQA with two options (Lin et al. 2022; the format its authors recommend since 2025): 790 questions.

    The best answer stands beside the best incorrect one, in an order drawn for each question by `seed`. Compared by
    text, the whole log-probability decides, as in the original MC1.

    Args:
        file: a local copy with `Question`, `Best Answer`, `Best Incorrect Answer`; optionally `Category`.
    """

    def item(row: Row, place: int, where: str) -> Choice:
        options = tuple(column(row, name, where=where) for name in ("Best Answer", "Best Incorrect Answer"))
        category = str(row.get("Category") or "")
        return shuffled(Choice(str(place), category, column(row, "Question", where=where), options, 0), seed)

    items, identity = read_rows("capability/truthfulqa", file, limit, seed, item)
    how = (method, by, normalisation, reasoning, max_new_tokens)
    return choice_suite("capability/truthfulqa", items, identity, *how)


register("capability/truthfulqa_choose", sources=("capability/truthfulqa",))(choosing(truthfulqa, "TruthfulQA"))
