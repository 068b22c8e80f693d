"""What training cost in capability: worked mathematics and multiple choice, zero-shot, scored by rule.

Sources are read from their public homes (`unswayed.sources.catalogue`). The words of the prompts are ours, so numbers
compare models under this program and are not those of a leaderboard.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, Sample
from unswayed.evals.scoring.checks.client import require
from unswayed.evals.scoring.mathematics import score_mathematics, score_number
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.draw import draw, given
from unswayed.evals.suites.questions import (
    METRICS,
    REASONING_TOKENS,
    By,
    Method,
    choice_suite,
    choosing,
    column,
    numbered,
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
        limit: how many problems, drawn by `seed`.
        seed: decides that draw.
        max_new_tokens: length limit of a solution.

    Raises:
        ConfigError: the source cannot be found, or Math-Verify is not installed.
        DataError: rows without problem or answer.
    """
    versions = require(
        "capability/math500", {"math_verify": "math-verify", "latex2sympy2_extended": "latex2sympy2_extended"}
    )
    rows, identity = read_source("capability/math500", file)
    samples = []
    for place, row in numbered(rows, limit, seed):
        where = f"capability/math500, row {place + 1}"
        problem = column(row, "problem", "prompt", "question", where=where).removesuffix(_ASKED_BEFORE).rstrip()
        answer = column(row, "answer", where=where)
        name = str(row.get("unique_id") or place)
        meta = {"question": problem, "slice": str(row.get("subject") or "")}
        samples.append(Sample(name, _asked(_BOXED, problem), name, "question", (answer,), meta))
    return Suite(
        name="capability/math500",
        version=1,
        samples=tuple(samples),
        score=score_mathematics,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        arguments={**identity, "checkers": versions, **given(limit=limit, seed=seed)},
        **METRICS,
    )


@register("capability/gsm8k", sources=("capability/gsm8k",))
def gsm8k(
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    max_new_tokens: int = 1024,
) -> Suite:
    """Build GSM8K: 1,319 word problems of grade school whose answers are numbers (Cobbe et al. 2021).

    Args:
        file: a local copy with `question` and `answer`, which ends in `#### NUMBER`.
        limit: how many problems, drawn by `seed`.
        seed: decides that draw.
        max_new_tokens: length limit of a solution.

    Raises:
        ConfigError: the source cannot be found.
        DataError: rows without a question, or whose answer ends in no number.
    """
    rows, identity = read_source("capability/gsm8k", file)
    samples = []
    for place, row in numbered(rows, limit, seed):
        where = f"capability/gsm8k, row {place + 1}"
        question = column(row, "question", where=where)
        answer = column(row, "answer", where=where).rpartition("####")[2].strip()
        if number(answer) is None:
            raise DataError(f"{where}: the answer ends in no number; '#### 12' is expected")
        name = str(place)
        samples.append(Sample(name, _asked(_NUMBER, question), name, "question", (answer,), {"question": question}))
    return Suite(
        name="capability/gsm8k",
        version=1,
        samples=tuple(samples),
        score=score_number,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        arguments={**identity, **given(limit=limit, seed=seed)},
        **METRICS,
    )


@register("capability/mmlu", sources=("capability/mmlu",))
def mmlu(
    *,
    file: str | Path | None = None,
    split: str = "test",
    subjects: tuple[str, ...] | list[str] | None = None,
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
        method, by, normalisation, reasoning: see `unswayed.evals.suites.questions`.
        shuffle: show each question's options in an order of its own instead of the published one.
        limit: how many questions, drawn by `seed`.
        seed: decides that draw and the orders.
        max_new_tokens: length limit of a reply.

    Raises:
        ConfigError: the source cannot be found, an unknown subject, or arguments that contradict each other.
        DataError: rows that are no questions.
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
    return choice_suite(
        "capability/mmlu",
        draw(items, limit, seed, "questions"),
        identity,
        method=method,
        by=by,
        normalisation=normalisation,
        text_normalisation="per character",
        reasoning=reasoning,
        max_new_tokens=max_new_tokens,
        arguments={
            "split": split,
            **given(subjects=sorted(subjects or ()) or None, shuffle=shuffle, limit=limit, seed=seed),
        },
    )


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

    Args:
        file: a local copy with `Question`, `Correct Answer`, `Incorrect Answer 1` to `3`; optionally
            `High-level domain`, `Record ID`.
        method, normalisation: see `unswayed.evals.suites.questions`; options are always listed.
        reasoning: ask for reasoning before the letter; by default where the reply is written.
        limit: how many questions, drawn by `seed`.
        seed: decides that draw and the orders.
        max_new_tokens: length limit of a reply.

    Raises:
        ConfigError: the source cannot be found, or arguments that contradict each other.
        DataError: rows that are no questions.
    """
    rows, identity = read_source("capability/gpqa", file)
    items = []
    for place, row in numbered(rows, limit, seed):
        where = f"capability/gpqa, row {place + 1}"
        wrong = (column(row, f"Incorrect Answer {number}", where=where) for number in (1, 2, 3))
        options = (column(row, "Correct Answer", where=where), *wrong)
        name = str(row.get("Record ID") or place)
        domain = str(row.get("High-level domain") or "")
        items.append(shuffled(Choice(name, domain, column(row, "Question", where=where), options, 0), seed))
    return choice_suite(
        "capability/gpqa",
        items,
        identity,
        method=method,
        by="letter",
        normalisation=normalisation,
        text_normalisation="sum",
        reasoning=method == "generate" if reasoning is None else reasoning,
        max_new_tokens=max_new_tokens,
        arguments=given(limit=limit, seed=seed),
    )


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
        method, by, normalisation, reasoning: see `unswayed.evals.suites.questions`.
        limit: how many questions, drawn by `seed`.
        seed: decides that draw and the orders.
        max_new_tokens: length limit of a reply.

    Raises:
        ConfigError: the source cannot be found, or arguments that contradict each other.
        DataError: rows that are no questions.
    """
    rows, identity = read_source("capability/truthfulqa", file)
    items = []
    for place, row in numbered(rows, limit, seed):
        where = f"capability/truthfulqa, row {place + 1}"
        options = (column(row, "Best Answer", where=where), column(row, "Best Incorrect Answer", where=where))
        category = str(row.get("Category") or "")
        items.append(shuffled(Choice(str(place), category, column(row, "Question", where=where), options, 0), seed))
    return choice_suite(
        "capability/truthfulqa",
        items,
        identity,
        method=method,
        by=by,
        normalisation=normalisation,
        text_normalisation="sum",
        reasoning=reasoning,
        max_new_tokens=max_new_tokens,
        arguments=given(limit=limit, seed=seed),
    )


register("capability/truthfulqa_choose", sources=("capability/truthfulqa",))(choosing(truthfulqa, "TruthfulQA"))


def _asked(instruction: str, problem: str) -> tuple[Message, ...]:
    return (Message("user", f"{instruction}\n\n{problem}"),)
