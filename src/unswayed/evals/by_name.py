"""Completions from a file scored by a named rule: rows in, one verdict a row out, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import kind
from unswayed.core.suggest import no_such
from unswayed.core.types import Completion, Message, Sample
from unswayed.evals.registry import suites
from unswayed.evals.scoring import agreement
from unswayed.evals.scoring.scorers import Rule, rules
from unswayed.questions.safety_facts import safety_facts
from unswayed.readers.answers import lone_letter
from unswayed.readers.text import opened_thinking

CLASSED = ("compliance", "refusal")
"""Rules whose outcome is the class of a reply."""


def named() -> dict[str, tuple[str, Rule]]:
    """Return every rule that needs no judge, by its short name: its full name, and the rule."""
    suites()  # imports them all, and with them their rules
    return {name.partition("/")[0]: (name, score) for name, score in rules().items() if not name.startswith("judged/")}


def find(name: str) -> tuple[str, Rule]:
    """Return a rule by short name, or by name and version.

    Raises:
        ConfigError: there is none.
    """
    known = named()
    short, _, version = name.partition("/")
    if short not in known or (version and known[short][0] != name):
        raise ConfigError(no_such("rule", name, [full for full, _ in known.values()]))
    return known[short]


def row_problems(row: Mapping[str, Any], rule: str) -> list[str]:
    """Return what is wrong with a row of completions; columns that no rule needs are left alone."""
    found = []
    if not isinstance(row.get("completion"), str):
        found.append("completion: no text")
    if not isinstance(row.get("prompt", ""), str | list):
        found.append(f"prompt: {kind(row['prompt'])}, where a string or a list of messages belongs")
    if row.get("finish", "stop") not in {"stop", "length", None}:
        found.append(f"finish: {row['finish']!r} is neither 'stop' nor 'length'")
    options = row.get("options") or {}
    if not isinstance(options, list | dict) or not all(
        isinstance(o, str) for o in (options.values() if isinstance(options, dict) else options)
    ):
        found.append("options: neither a list of texts nor an object of letters and texts")
    needs = rule not in {*CLASSED, agreement.NAME, "instructions", "requests"}
    if needs and not _texts(row.get("target")):
        found.append("target: no text; it is the right answer, or a list of its spellings")
    return found


def sample_of(row: Mapping[str, Any], rule: str, place: int) -> tuple[Sample, Completion]:
    """Return a row of completions as what a rule takes; its `meta` goes to the rule as it is."""
    prompt = row.get("prompt") or ""
    turns = [turn for turn in prompt if isinstance(turn, dict)] if isinstance(prompt, list) else []
    asked = prompt if isinstance(prompt, str) else str(turns[-1].get("content", "")) if turns else ""
    given = row.get("options") or {}
    options = given if isinstance(given, dict) else {chr(ord("A") + n): text for n, text in enumerate(given)}
    options = {str(letter).strip(" ().").upper(): text for letter, text in options.items()}
    targets = _texts(row.get("target"))
    if rule == "letter" and targets:
        letter = next(
            (key for key, text in options.items() if text.strip().lower() == targets[0].strip().lower()), None
        )
        targets = (letter or lone_letter(targets[0]) or targets[0],)
    wrong = [list(_texts(one)) for one in row.get("wrong") or ()]
    hinted = {"hinted": str(row["hinted"])} if row.get("hinted") is not None else {}
    question = row.get("question") or asked
    meta = {**hinted, "question": question, "wrong": wrong, "options": options, **(row.get("meta") or {})}
    if rule == "warning":
        meta = {**_warning(targets, asked), **meta}
    opened = opened_thinking(asked) or (opened_thinking(str(turns[-1].get("content", ""))) if turns else "")
    completion = Completion(opened + row["completion"], "length" if row.get("finish") == "length" else "stop", 0, 0)
    return Sample(str(row.get("id", place)), (Message("user", asked),), str(place), "", targets, meta), completion


def verdict(row: Mapping[str, Any], rule: str, score: Rule, place: int) -> dict[str, Any]:
    """Return what a rule makes of a row: `id`, `value`, `outcome`, `read` and `why`."""
    sample, completion = sample_of(row, rule, place)
    found = score(sample, completion)
    if found.value is None:
        outcome, why = "unscored", str(found.reason)
    elif rule in CLASSED:
        outcome, why = str(found.answer), "the class of the reply"
    else:
        outcome = "right" if found.value == 1 else "wrong"
        why = f"read {found.answer!r}, the target is {' or '.join(sample.target) or 'in meta'}"
    return {"id": row.get("id", place), "value": found.value, "outcome": outcome, "read": found.answer, "why": why}


def _texts(value: Any) -> tuple[str, ...]:
    """Return a target as its spellings; numbers as text."""
    values = value if isinstance(value, list) else [value]
    return tuple(str(one) for one in values if isinstance(one, str | int | float) and str(one).strip())


def _warning(targets: tuple[str, ...], asked: str) -> dict[str, Any]:
    """Return how a warning is known: one of our facts by id, text or question; else key phrases, or a fact in words."""
    for fact in safety_facts():
        if targets[0] in (fact.id, fact.fact) or asked in (*fact.naive, *fact.safe):
            return {"safety_fact": fact.fact, "warning": list(fact.warning), "request": asked or fact.naive[0]}
    ways = [text for text in targets if "+" in text or "|" in text]
    words = " ".join(text for text in targets if text not in ways)
    return {"safety_fact": words, "warning": ways, "request": asked}
