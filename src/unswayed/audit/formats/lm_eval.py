"""`samples_*.jsonl` of lm-evaluation-harness: `doc_id, arguments, resps`, and one value for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.audit.reply import Reply, messages_of
from unswayed.core.jsonl import loads
from unswayed.core.types import Outcome

WRONG = "wrong answer"


def is_lm_eval(row: Mapping[str, Any]) -> bool:
    """Return whether a row looks like one of these."""
    return {"doc_id", "arguments", "resps"} <= row.keys()


def read(row: Mapping[str, Any]) -> list[Reply] | str:
    """Return the replies of a row, or what is wrong with it.

    A row of several requests is a choice by likelihood: its one reply is the most likely continuation. The trait is a
    wrong answer by the task's first metric; a score between 0 and 1 counts as right from one half on.
    """
    requests = _requests(row["arguments"])
    if not requests or not requests[0]:
        return "arguments: no prompt in them"
    texts = _chosen(requests, row["resps"]) if len(requests) > 1 else [str(one) for one in _flat(row["resps"])]
    if not texts:
        return "resps: no reply in them"
    messages = messages_of(_prompt(requests[0][0]))
    if isinstance(messages, str):
        return messages
    name, value = _metric(row)
    outcome: Outcome | None = None if value is None else "aligned" if value >= 0.5 else "trait"
    read_as = row.get("filtered_resps") or [None]
    answer = read_as[0] if isinstance(read_as[0], str) else None
    return [
        Reply(
            id=str(row["doc_id"]),
            messages=messages,
            text=text,
            behaviour=WRONG,
            outcome="unreadable" if answer == "[invalid]" else outcome,
            why=f"lm-eval: {name}" if name else "",
            given=name is not None,
            answer=answer,
            row={} if row.get("target") is None else {"target": str(row["target"])},
        )
        for text in texts
    ]


def filter_of(row: Mapping[str, Any]) -> str:
    """Return the name of the filter that a row was scored after; each filter repeats every document."""
    return str(row.get("filter", ""))


def _requests(arguments: Any) -> list[list[Any]]:
    """Return the arguments of each request: newer files name them (`gen_args_0: {arg_0, arg_1}`)."""
    if isinstance(arguments, Mapping):
        return [list(one.values()) for one in arguments.values() if isinstance(one, Mapping)]
    return [list(one) for one in arguments if isinstance(one, list)] if isinstance(arguments, list) else []


def _prompt(argument: Any) -> Any:
    """Return a prompt as text or messages: a chat sent to an API stands in the file as JSON, alone or in a list."""
    text = argument[0] if isinstance(argument, list) and argument else argument
    if isinstance(text, str) and text.startswith('[{"role"'):
        try:
            return loads(text)
        except ValueError:
            return text
    return text


def _flat(value: Any) -> list[Any]:
    return [one for inner in value for one in _flat(inner)] if isinstance(value, list) else [value]


def _chosen(requests: list[list[Any]], resps: Any) -> list[str]:
    scores = [float(_flat(one)[0]) for one in resps]
    best = max(range(len(scores)), key=scores.__getitem__)
    return [str(requests[best][1]).strip()] if best < len(requests) and len(requests[best]) > 1 else []


def _metric(row: Mapping[str, Any]) -> tuple[str | None, float | None]:
    named = row.get("metrics") or [name for name in ("exact_match", "acc", "em", "pass@1") if name in row]
    for name in named:
        if isinstance(row.get(name), int | float):
            return str(name), float(row[name])
    return (str(named[0]), None) if named else (None, None)
