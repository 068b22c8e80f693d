"""Questions with one right answer as suites: what the capability benchmarks share.

A multiple-choice question may be asked in three ways, which are three measurements and never mixed:

* `generate`: the options are listed, and the letter is read from the reply;
* `choose` by letter: the same prompt, and the most likely letter is the answer;
* `choose` by text: no options are listed, and the most likely option's text is the answer ("cloze").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, Literal

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, Sample
from unswayed.evals.choose import NORMALISATIONS
from unswayed.evals.suite import GREEDY, Builder, Suite
from unswayed.evals.suites.draw import draw, given
from unswayed.questions.choices import Choice, listing

Row = Mapping[str, Any]
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


def numbered(rows: Sequence[Row], limit: int | None, seed: int) -> list[tuple[int, Row]]:
    """Return the rows to ask with their places, in order: all, or `limit` drawn by `seed`."""
    return draw(list(enumerate(rows)), limit, seed, "questions")


def shuffled(item: Choice, seed: int) -> Choice:
    """Return the question with its options in an order drawn for it alone, so that every model sees the same one."""
    return item.shuffled(seed, "suite/options")


def column(row: Row, *names: str, where: str) -> str:
    """Return the text of the first of these columns that a row has.

    Raises:
        DataError: it has none of them, or the text is empty.
    """
    for name in names:
        if row.get(name) is not None and str(row[name]).strip():
            return str(row[name]).strip()
    raise DataError(f"{where}: has no {' or '.join(names)}")


def choice_suite(
    name: str,
    items: Sequence[Choice],
    identity: Mapping[str, Any],
    *,
    method: Method,
    by: By,
    normalisation: str | None,
    text_normalisation: str,
    reasoning: bool,
    max_new_tokens: int | None,
    arguments: Mapping[str, Any],
) -> Suite:
    """Return a suite over multiple-choice questions; the cluster unit is the question.

    Args:
        name, items: what is asked; options are in the order in which they are shown.
        identity: of the source.
        method, by: how; see the module.
        normalisation: how texts of different lengths are compared; see `unswayed.evals.choose`.
        text_normalisation: the default for this benchmark, where texts are compared.
        reasoning: ask for reasoning before the letter.
        max_new_tokens: length limit; None takes one that suits.
        arguments: further ones, for the suite's identity.

    Raises:
        ConfigError: arguments that contradict each other.
        DataError: no question is left.
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
            **given(reasoning=reasoning, left_out_equal_options=len(items) - len(asked)),
            **arguments,
        },
    )


def choosing(build: Builder, title: str) -> Builder:
    """Return the form of a builder whose answer is the most likely letter, for a name of its own.

    Its signature leaves out what a form that writes nothing cannot be given.
    """

    def choose(**arguments: Any) -> Suite:
        return build(method="choose", **arguments)

    taken = signature(build, eval_str=True)
    kept = [each for name, each in taken.parameters.items() if name not in ("method", "reasoning", "max_new_tokens")]
    choose.__signature__ = taken.replace(parameters=kept)  # type: ignore[attr-defined]
    choose.__name__ = f"{build.__name__}_choose"
    choose.__doc__ = f"""Build {title} with the most likely letter as the answer.

    Arguments as for `{build.__name__}`.
    """
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
