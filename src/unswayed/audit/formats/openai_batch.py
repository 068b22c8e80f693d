"""Output of OpenAI's batch API with the input it answers: joined by `custom_id`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.audit.reply import Reply, messages_of, text_of


def is_output(row: Mapping[str, Any]) -> bool:
    """Return whether a row looks like one of an output file."""
    return {"custom_id", "response"} <= row.keys()


def is_input(row: Mapping[str, Any]) -> bool:
    """Return whether a row looks like a request."""
    return {"custom_id", "body", "url"} <= row.keys()


def prompt_of(request: Mapping[str, Any]) -> Any:
    """Return what a request asks: the messages, the input of the responses API, or the prompt of a completion."""
    body = request["body"]
    asked = body.get("messages", body.get("input", body.get("prompt")))
    system = body.get("instructions")
    if not system:
        return asked
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    return [{"role": "system", "content": system}, *turns]


def read(row: Mapping[str, Any], requests: Mapping[str, Mapping[str, Any]]) -> list[Reply] | str:
    """Return the replies of a row, or what is wrong with it.

    Args:
        row: of the output. A request that failed is a reply that nobody can judge.
        requests: the rows of the input, by `custom_id`.
    """
    name = str(row["custom_id"])
    if name not in requests:
        return f"custom_id: {name!r} is in no input file; name the batch's input with --inputs FILE"
    messages = messages_of(prompt_of(requests[name]))
    if isinstance(messages, str):
        return messages
    response = row["response"] or {}
    if row.get("error") or response.get("status_code", 200) != 200:
        return [Reply(id=name, messages=messages, text="", why="the request failed", given=True)]
    replies = [
        Reply(id=name, messages=messages, text=text, finish="length" if cut else "stop")
        for text, cut in _texts(response.get("body") or {})
    ]
    return replies or "response: no choices in it"


def _texts(body: Mapping[str, Any]) -> list[tuple[str, bool]]:
    if "output" in body:  # the responses API: items, of which messages have parts
        parts = [text_of(item.get("content")) or "" for item in body["output"] if item.get("type") == "message"]
        return [("".join(parts), body.get("status") == "incomplete")]
    return [
        (
            text_of((choice.get("message") or choice).get("content", choice.get("text"))) or "",
            choice.get("finish_reason") == "length",
        )
        for choice in body.get("choices", ())
    ]
