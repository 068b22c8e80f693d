"""Plain JSONL: `id, prompt|messages, completion`, and what else a row may carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.audit.reply import BEHAVIOUR, Reply, messages_of, text_of
from unswayed.core.jsonl import kind
from unswayed.core.types import OUTCOMES

COMPLETIONS = ("completion", "response", "output", "reply")
READ_BY_RULES = ("target", "options", "wrong", "hinted", "question", "meta")
_TEXTS = ("behaviour", "group", "slice", "condition")


def is_plain(row: Mapping[str, Any]) -> bool:
    """Return whether a row looks like one of these."""
    return bool({"prompt", "messages"} & row.keys())


def read(row: Mapping[str, Any]) -> list[Reply] | str:
    """Return the reply of a row, or what is wrong with it."""
    messages = messages_of(row.get("messages", row.get("prompt")))
    if isinstance(messages, str):
        return messages
    name = next((name for name in COMPLETIONS if name in row), None)
    if name is None and messages[-1].role == "assistant":  # the conversation with its reply
        text: Any = messages[-1].content
        messages = messages[:-1]
    else:
        text = row.get(name) if name else None
    if problem := _problem(row, text, name):
        return problem
    given = "outcome" in row
    lost = (text is None or row.get("finish") == "failed") and not given
    return [
        Reply(
            id=str(row["id"]),
            messages=messages,
            text=text_of(text) or "",
            finish="length" if row.get("finish", row.get("finish_reason")) == "length" else "stop",
            behaviour=str(row.get("behaviour") or BEHAVIOUR),
            group=str(row.get("group") or row["id"]),
            slice=str(row.get("slice") or ""),
            condition=str(row.get("condition") or ""),
            outcome=row.get("outcome"),
            why="no completion"
            if lost
            else ""
            if not given
            else "not judged"
            if row["outcome"] is None
            else "the file",
            given=given or lost,
            answer=None if row.get("answer") is None else str(row["answer"]),
            admits=row.get("admits"),
            row={field: row[field] for field in READ_BY_RULES if row.get(field) is not None},
        )
    ]


def _problem(row: Mapping[str, Any], text: Any, name: str | None) -> str | None:
    if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), str | int):
        return "id: missing; replies are joined by id and prompt, never by their order"
    if name is None and text is None:
        return "completion: missing"
    if text is not None and text_of(text) is None:
        return f"{name}: {kind(text)}, where a text belongs"
    if row.get("outcome") is not None and row["outcome"] not in OUTCOMES:
        return f"outcome: {row['outcome']!r} is none of {', '.join(OUTCOMES)}, and null where it could not be judged"
    if row.get("admits") not in {None, True, False}:
        return f"admits: {kind(row['admits'])}, where true or false belongs"
    for field in _TEXTS:
        if isinstance(row.get(field), dict | list):
            return f"{field}: {kind(row[field])}, where a text belongs"
    return None
