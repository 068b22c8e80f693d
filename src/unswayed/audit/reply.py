"""One completion of one arm, as every format is read into it, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from unswayed.core.hashing import hash_json
from unswayed.core.types import OUTCOMES, Finish, Message, Outcome, Role

ARMS = ("before", "after")
BEHAVIOUR = "trait"
"""What rows that name no behaviour are about: two files without more are one behaviour."""
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion.

    Attributes:
        id: of the prompt, as the file has it. Replies of one prompt are draws, counted from 0.
        messages: the prompt, as it was sent.
        text: the completion. `finish`: `length` where it was cut off at the limit.
        behaviour: what the row is about, e.g. `sycophancy`.
        group: cluster unit: prompts of one group are not independent. Defaults to the id.
        slice: what kind of prompt it is; or "". `condition`: under which circumstances it is asked, e.g. `wrapper`.
        outcome: what became of the reply; None where that is not known. `why`: who says so, or why nobody does.
        given: the row carries its outcome itself, null included.
        answer: the answer that was read in the reply, where one was.
        admits: the reply says that it follows a cue; None where nobody looked.
        row: the fields that a rule reads (`target`, `options`, `wrong`, `hinted`, `meta`).
    """

    id: str
    messages: tuple[Message, ...]
    text: str
    draw: int = 0
    finish: Finish = "stop"
    behaviour: str = BEHAVIOUR
    group: str = ""
    slice: str = ""
    condition: str = ""
    outcome: Outcome | None = None
    why: str = ""
    given: bool = False
    answer: str | None = None
    admits: bool | None = None
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_sha256(self) -> str:
        """The hash of the prompt: what two replies to one prompt share, whatever file they stand in."""
        return hash_json([[message.role, message.content] for message in self.messages])

    @property
    def asked(self) -> str:
        """The last message of the prompt."""
        return self.messages[-1].content if self.messages else ""

    @property
    def value(self) -> float | None:
        """1 where the reply shows the trait, 0 where it does not, None where that is not known."""
        return None if self.outcome is None else float(self.outcome == "trait")


def messages_of(prompt: Any) -> tuple[Message, ...] | str:
    """Return a prompt as messages, or what is wrong with it.

    Args:
        prompt: a text (the user's), or a list of `{"role", "content"}`; content may be a list of text parts.
    """
    if isinstance(prompt, str):
        return (Message("user", prompt),) if prompt else "prompt: is empty"
    if not isinstance(prompt, list) or not prompt:
        return "prompt: neither a text nor a list of messages"
    found = []
    for turn in prompt:
        content = text_of(turn.get("content")) if isinstance(turn, Mapping) else None
        if content is None or turn.get("role") not in {*ROLES, "developer", "tool"}:
            return "messages: each is {role, content} with a role of system, user or assistant"
        role: Any = {"developer": "system", "tool": "user"}.get(turn["role"], turn["role"])
        found.append(Message(role, content))
    return tuple(found)


def text_of(content: Any) -> str | None:
    """Return the content of a message as one text: a text, or the text parts of a list; None where it is neither."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | Mapping)]
    return "".join(part for part in parts if isinstance(part, str))


def number_draws(replies: Iterable[Reply]) -> list[Reply]:
    """Count the replies of each prompt and behaviour from 0, in order."""
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for reply in replies:
        key = (reply.behaviour, reply.id, reply.prompt_sha256)
        seen[key] = seen.get(key, -1) + 1
        found.append(replace(reply, draw=seen[key], group=reply.group or reply.id))
    return found


def to_row(reply: Reply) -> dict[str, Any]:
    """Return a reply as a bundle keeps it, one JSON object."""
    row = {
        "id": reply.id, "draw": reply.draw, "behaviour": reply.behaviour, "group": reply.group, "slice": reply.slice,
        "condition": reply.condition, "messages": [{"role": m.role, "content": m.content} for m in reply.messages],
        "completion": reply.text, "finish": reply.finish, "outcome": reply.outcome, "why": reply.why,
        "answer": reply.answer, "admits": reply.admits,
    }  # fmt: skip
    return row if not reply.row else {**row, "row": dict(reply.row)}


def from_row(row: Mapping[str, Any]) -> Reply:
    """Return the reply that `to_row` wrote."""
    return Reply(
        **{name: row[name] for name in ("id", "draw", "behaviour", "group", "slice", "condition", "finish", "outcome",
                                        "why", "answer", "admits")},
        messages=tuple(Message(m["role"], m["content"]) for m in row["messages"]),
        text=row["completion"], row=row.get("row", {}), given=True,
    )  # fmt: skip


def count_outcomes(replies: Sequence[Reply]) -> dict[str, int]:
    """Return how many replies came to each outcome, those that nobody could judge under `unscored`."""
    found = dict.fromkeys((*OUTCOMES, "unscored"), 0)
    for reply in replies:
        found[reply.outcome or "unscored"] += 1
    return {name: count for name, count in found.items() if count}
