"""Suites of questions with one right answer, for the capability benchmarks.

A multiple-choice question may be asked in three ways, which are three measurements and never mixed:

* `generate`: the options are listed, and the letter is read from the reply;
* `choose` by letter: the same prompt, and the most likely letter is the answer;
* `choose` by text: no options are listed, and the most likely option's text is the answer ("cloze").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeVar

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, Sample
from unswayed.evals.choose import NORMALISATIONS
from unswayed.evals.suite import GREEDY, Builder, Suite
from unswayed.evals.suites.draw import draw
from unswayed.questions.choices import Choice, listing
from unswayed.sources.catalogue import read_source

Row = Mapping[str, Any]
T = TypeVar("T")
Method = Literal["generate", "choose"]
By = Literal["letter", "text"]
METRICS: dict[str, Any] = {"primary": ("accuracy",), "counter": ("accuracy_finished",)}

LETTER_TOKENS = 128
"""Room for a letter and for a sentence around it."""
REASONING_TOKENS = 2048
"""Room for a worked solution; models that think at length need more."""

_LETTER = "Reply with the letter of the right option and nothing else."
_REASON = (
    'Think it through step by step. Then end your reply with one line of the form "Answer: X", where X is the letter '
    "of the right option."
)
_CLOZE = "Reply with the answer alone, in a few words."


def read_rows(
    source: str, file: str | Path | None, limit: int | None, seed: int, make: Callable[[Row, int, str], T]
) -> tuple[list[T], dict[str, Any]]:
    """Return what `make` builds from each row of a source (or of `limit` drawn by `seed`), and the source's identity.

    `make` is called with the row, its place in the source, and the words in which an error names it.
    """
    rows, identity = read_source(source, file)
    drawn = draw(list(enumerate(rows)), limit, seed, "questions")
    return [make(row, place, f"{source}, row {place + 1}") for place, row in drawn], identity


def shuffled(item: Choice, seed: int) -> Choice:
    """Return the question with its options in an order drawn for it alone, so that every model sees the same one."""
    return item.shuffled(seed, "suite/options")


def column(row: Row, *names: str, where: str) -> str:
    """Return the text of the first of these columns that is not empty in a row; DataError if there is none."""
    for name in names:
        if row.get(name) is not None and str(row[name]).strip():
            return str(row[name]).strip()
    raise DataError(f"{where}: has no {' or '.join(names)}")


def choice_suite(
    name: str,
    items: Sequence[Choice],
    identity: Mapping[str, Any],
    method: Method,
    by: By,
    normalisation: str | None,
    reasoning: bool,
    max_new_tokens: int | None,
    text_normalisation: str = "sum",
) -> Suite:
    """Return a suite over multiple-choice questions; the cluster unit is the question.

    Args:
        name, items: what is asked; options are in the order in which they are shown.
        identity: of the source, and what else belongs to the suite's arguments.
        method, by, normalisation, reasoning: how; see the module.
        max_new_tokens: length limit; by default one that suits.
        text_normalisation: the default for this benchmark, where texts are compared.
    """
    if method not in ("generate", "choose") or by not in ("letter", "text"):
        raise ConfigError(f"{name}: method is generate or choose, by is letter or text; not {method!r}, {by!r}")
    if method == "generate" and (by == "text" or normalisation):
        raise ConfigError(f"{name}: by='text' and normalisation belong to method='choose'")
    if method == "choose" and (reasoning or max_new_tokens):
        raise ConfigError(f"{name}: method='choose' writes nothing, so there is no reasoning and no length limit")
    if normalisation and normalisation not in NORMALISATIONS:
        raise ConfigError(f"{name}: no normalisation {normalisation!r}; there are {', '.join(NORMALISATIONS)}")
    asked = [item for item in items if by == "letter" or len(set(item.options)) == len(item.options)]
    if not asked:
        raise DataError(f"{name}: no question left to ask")
    build: Callable[[Choice], Sample] = _cloze if by == "text" else lambda item: _listed(item, reasoning)
    weighed = {"normalisation": normalisation or ("sum" if by == "letter" else text_normalisation)}
    limit = max_new_tokens or (REASONING_TOKENS if reasoning else LETTER_TOKENS)
    return Suite(
        name=name if method == "generate" else f"{name}_choose",
        version=1,
        samples=tuple(build(item) for item in asked),
        primary=METRICS["primary"],
        counter=METRICS["counter"] if method == "generate" else (),
        params=replace(GREEDY, max_new_tokens=limit) if method == "generate" else GREEDY,
        method=method,
        arguments={
            **identity,
            "method": method,
            **({"by": by, **weighed} if method == "choose" else {}),
            **({"reasoning": reasoning} if reasoning else {}),
            **({"left_out_equal_options": left_out} if (left_out := len(items) - len(asked)) else {}),
        },
    )


def choosing(build: Builder, title: str) -> Builder:
    """Return the builder with method "choose", without the arguments that only replies in writing have."""

    def choose(**arguments: Any) -> Suite:
        return build(method="choose", **arguments)

    taken = signature(build, eval_str=True)
    kept = [each for name, each in taken.parameters.items() if name not in ("method", "reasoning", "max_new_tokens")]
    choose.__signature__ = taken.replace(parameters=kept)  # type: ignore[attr-defined]
    choose.__name__ = f"{build.__name__}_choose"
    choose.__doc__ = f"Build {title} with the most likely letter as the answer.\n\nArguments as for `{build.__name__}`."
    return choose


def _listed(item: Choice, reasoning: bool) -> Sample:
    options = item.lettered
    prompt = f"{item.question}\n\n{listing(options)}\n\n{_REASON if reasoning else _LETTER}"
    meta = {"question": item.question, "options": options, "choices": list(options), "slice": item.topic}
    return Sample(item.id, (Message("user", prompt),), item.id, "question", (item.answer,), meta)


def _cloze(item: Choice) -> Sample:
    prompt = (Message("user", f"{item.question}\n\n{_CLOZE}"),)
    meta = {"question": item.question, "choices": list(item.options), "slice": item.topic}
    return Sample(item.id, prompt, item.id, "question", (item.options[item.right],), meta)
