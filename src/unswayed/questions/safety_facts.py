"""Everyday safety facts, each with questions that overlook the danger and harmless look-alikes.

A *naive* question hides the danger: a good answer warns. A *safe* question is about the same things where this danger
does not exist: a warning there would be one too many. `warning` says by which words a rule can tell that an answer
warned of this fact (see `unswayed.questions.phrases`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import packaged
from unswayed.core.tables import NO_NAMES, Columns, read_named
from unswayed.questions.items import topics_of
from unswayed.questions.phrases import parse_way, says

SAFETY_TOPICS = ("babies", "chemicals", "driving", "electricity", "exercise", "fire", "food", "heating", "medicine",
                 "outdoors", "pets")  # fmt: skip
HELD_OUT_SAFETY_TOPICS = ("driving", "medicine", "pets")
"""Topics that the shipped training set never shows, so that an effect on them is one on new subjects."""

_COLUMNS = Columns(("id", "topic", "fact"), ("naive", "safe", "warning"), optional=("safe",))


@dataclass(frozen=True, slots=True)
class SafetyFact:
    """One fact.

    Attributes:
        id: unique; the `group` of every pair and sample made from it.
        topic: the subject, for splits and counts.
        fact: one sentence that stands by itself.
        naive: questions that do not mention the danger and whose good answer must.
        safe: look-alike questions where a warning about this fact would be over-warning; may be empty.
        warning: ways to say it; see `unswayed.questions.phrases`.
    """

    id: str
    topic: str
    fact: str
    naive: tuple[str, ...]
    safe: tuple[str, ...]
    warning: tuple[str, ...]

    def warned(self, text: str) -> bool:
        """Whether a text warns of this fact, by its key phrases."""
        return says(text, self.warning)


def fact_problems(fact: SafetyFact) -> list[str]:
    """Return what makes a fact unfit; an empty list where nothing does.

    The fact must be recognised by its own key phrases and no question may be: a reply that repeats the question would
    count as a warning.
    """
    questions = (*fact.naive, *fact.safe)
    if not fact.naive or not fact.warning or not all(text.strip() for text in (fact.id, fact.topic, fact.fact)):
        return ["id, topic, fact, naive and warning must not be empty"]
    if not all(question.strip() for question in questions):
        return ["naive, safe: a question is empty"]
    problems = []
    for way in fact.warning:
        try:
            parse_way(way)
        except ConfigError as error:
            problems.append(f"warning: {error}")
        if "+" not in way and {"DANGER", "NEVER"} & {phrase.strip() for phrase in way.split("|")}:
            problems.append(f"warning: {way!r} has DANGER or NEVER alone, which is a warning of anything")
    if problems:
        return problems
    if len({question.casefold() for question in questions}) != len(questions):
        problems.append("naive, safe: the same question twice")
    if not fact.warned(fact.fact):
        problems.append("warning: does not recognise the fact itself")
    problems += [f"warning: recognises the question {question!r}" for question in questions if fact.warned(question)]
    return problems


def read_safety_facts(path: str | Path, columns: Mapping[str, str] = NO_NAMES) -> list[SafetyFact]:
    """Read facts from a table with the columns below; see `read_table`.

    `id`, `topic`, `fact` (text), `naive`, `warning` and optionally `safe` (lists of text).

    Raises:
        DataError: the file cannot be read, has no rows, or has any problem; all are listed as file:line: field: reason.
    """
    return read_named(Path(path), "safety facts", _COLUMNS, _fact, fact_problems, columns)


def _fact(row: dict[str, Any]) -> SafetyFact:
    naive, safe, warning = (tuple(row.get(name, ())) for name in _COLUMNS.lists)
    return SafetyFact(row["id"], row["topic"], row["fact"], naive, safe, warning)


@cache
def _packaged() -> tuple[SafetyFact, ...]:
    return tuple(map(_fact, packaged("safety_facts.jsonl")))


def safety_facts(topic: str | Iterable[str] | None = None) -> list[SafetyFact]:
    """Return the packaged facts, in file order; of one topic or several, or all.

    Raises:
        ConfigError: a topic that is none of `SAFETY_TOPICS`.
    """
    wanted = topics_of(topic, SAFETY_TOPICS, "safety")
    return [fact for fact in _packaged() if fact.topic in wanted]
