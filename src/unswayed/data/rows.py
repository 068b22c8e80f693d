"""One row of a file as a pair: which columns are which side, and what a list of messages must look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args

from unswayed.core.hashing import hash_json
from unswayed.core.jsonl import kind, parse
from unswayed.core.printable import printable
from unswayed.core.suggest import did_you_mean
from unswayed.core.tables import TYPO
from unswayed.core.types import Message, PromptPair, Role

PROMPT = ("prompt", "wrapped", "biased_question", "variant_messages", "biased_messages", "prompt_biased")
TEACHER = ("teacher_prompt", "clean", "unbiased_question", "reference_messages", "unbiased_messages", "prompt_unbiased")
CONTEXT = "privileged_context"
OPTIONAL = ("system", "id", "group", "axis", "perturbation", "target", "meta")
RESERVED = frozenset((*PROMPT, *TEACHER, CONTEXT, *OPTIONAL))
CHAT, COMPLETION = "messages", "completion"
"""Columns of TRL's rows: a conversation that ends with the answer, and the answer to `prompt`."""
GIVEN_TARGETS = "only sft with method.source = 'target' trains without a teacher"

_ROLES = get_args(Role)
# The beginning of a message list in JSON, or of one that Python printed.
_LIST = re.compile(r"""\s*\[\s*\{\s*["'](?:role|content)["']\s*:""")


class RowError(ValueError):
    """What is wrong with a row, one `field: reason` each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse_row(row: Mapping[str, Any], *, allow_identical: bool = False, need_teacher: bool = True) -> PromptPair:
    """Return the pair that a row describes. Columns that hold null count as absent.

    Args:
        row: the columns.
        allow_identical: accept two equal prompts.
        need_teacher: with `False`, a row with a target and without a teacher's prompt gets its own prompt as that.

    Raises:
        RowError: every problem of the row.
    """
    problems: list[str] = []
    given = {name: value for name, value in row.items() if value is not None}
    present = _from_chat(given, problems)
    if problems:
        raise RowError(problems)
    prompt = _with_system(_side(present, PROMPT, "prompt", given, problems), present, problems)
    if CONTEXT in present:
        teacher = _with_context(prompt, present, problems)
    elif not (need_teacher or has_teacher(present)) and "target" in present:
        teacher, allow_identical = prompt, True
    else:
        teacher = _with_system(_side(present, TEACHER, "teacher_prompt", given, problems), present, problems)
    if prompt and prompt == teacher and not allow_identical:
        problems.append(
            "prompt: equals teacher_prompt, so there is nothing to learn from it; drop the row, or set "
            "allow_identical = true if it is meant as an anchor"
        )
    texts = {name: _text(present, name, problems) for name in ("id", "group", "axis", "perturbation", "target")}
    meta = _meta(present, problems)
    try:
        ident = texts["id"] or (f"row-{hash_json(given)[:16]}" if not problems else "")
    except UnicodeEncodeError:  # from memory only: no file can hold one
        problems.append("half of a surrogate pair in a string")
    if problems:
        raise RowError(list(dict.fromkeys(problems)))
    return PromptPair(
        id=ident,
        prompt=prompt,
        teacher_prompt=teacher,
        group=texts["group"] or "",
        axis=texts["axis"] or "",
        perturbation=texts["perturbation"] or "",
        target=texts["target"],
        meta=meta,
    )


def has_teacher(row: Mapping[str, Any]) -> bool:
    """Whether a row says what the teacher sees."""
    return any(row.get(name) is not None for name in (*TEACHER, CONTEXT))


def _from_chat(row: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return a row of TRL's as `prompt` and `target`; any other row as it is.

    Such rows are recognised by what they lack: `messages` is one where no column is a prompt, `completion` where no
    column is a target or the teacher's prompt. Elsewhere these columns are facts about the row, and join `meta`.
    """
    row = dict(row)
    if CHAT in row and not any(name in row for name in PROMPT):
        if "target" in row:
            problems.append(f"target: given more than once, as {CHAT} and target; keep one of them")
        messages = _messages(row.pop(CHAT), CHAT, problems)
        if messages and messages[-1].role != "assistant":
            problems.append(f"{CHAT}: ends with {messages[-1].role}; the last message is the answer to learn")
        elif messages:
            row["target"] = messages[-1].content
        row["prompt"] = [{"role": message.role, "content": message.content} for message in messages[:-1]]
    elif COMPLETION in row and "target" not in row and not has_teacher(row):
        answer = row.pop(COMPLETION)
        one = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
        if isinstance(one, dict) and one.get("role") == "assistant":
            answer = one.get("content")
        if not isinstance(answer, str):
            problems.append(f"{COMPLETION}: {kind(answer)}, where a string or one assistant message belongs")
        row["target"] = str(answer)
    return row


def format_row(pair: PromptPair) -> dict[str, Any]:
    """Return the row that `parse_row` turns back into an equal pair."""

    def messages(side: tuple[Message, ...]) -> list[dict[str, str]]:
        return [{"role": message.role, "content": message.content} for message in side]

    row: dict[str, Any] = {"id": pair.id, "group": pair.group, "axis": pair.axis, "perturbation": pair.perturbation}
    row |= {"prompt": messages(pair.prompt), "teacher_prompt": messages(pair.teacher_prompt)}
    row |= {"target": pair.target, "meta": dict(pair.meta)}
    return {name: value for name, value in row.items() if value not in (None, "", {})}


def _side(
    row: Mapping[str, Any], columns: tuple[str, ...], name: str, given: Iterable[str], problems: list[str]
) -> tuple[Message, ...]:
    """Return the messages of one side from whichever of its columns is there; `given` is what the file has."""
    found = [column for column in columns if column in row]
    if len(found) == 1:
        return _messages(row[found[0]], found[0], problems)
    if found:
        problems.append(f"{name}: given more than once, as {' and '.join(found)}; keep one of them")
    else:
        names = (*columns[1:], CONTEXT) if name == "teacher_prompt" else (*columns[1:], CHAT)
        held = _cut(", ".join(given)) or "nothing"
        near = next(filter(None, (did_you_mean(other, columns, TYPO) for other in row if other not in RESERVED)), "")
        plain = f". {GIVEN_TARGETS[0].upper()}{GIVEN_TARGETS[1:]}" if name != "prompt" and "target" in row else ""
        problems.append(f"{name}: missing (also read as {', '.join(names)}); the row has {held}{near}{plain}")
    return ()


def _messages(value: Any, column: str, problems: list[str]) -> tuple[Message, ...]:
    """Return a column's messages: a list of them, the same as JSON text, or a plain text as one user message."""
    if isinstance(value, str) and _LIST.match(value):
        try:
            value = parse(value)
        except ValueError as error:
            problems.append(f"{column}: looks like a list of messages, but {error}")
            return ()
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        problems.append(f"{column}: {kind(value)}, where a string or a list of messages belongs")
        return ()
    before = len(problems)
    messages = [_message(entry, f"{column}[{index}]", problems) for index, entry in enumerate(value)]
    if len(problems) > before:
        return ()
    if order := _order([message.role for message in messages if message]):
        problems.append(f"{column}: {order}")
        return ()
    return tuple(message for message in messages if message)


def _message(entry: Any, where: str, problems: list[str]) -> Message | None:
    if not isinstance(entry, dict):
        problems.append(f"{where}: {kind(entry)}, where an object with role and content belongs")
        return None
    role, content = entry.get("role"), entry.get("content")
    before = len(problems)
    if role not in _ROLES:
        problems.append(f"{where}.role: {_excerpt(role)} is not one of {', '.join(_ROLES)}")
    if not isinstance(content, str):
        problems.append(f"{where}.content: {kind(content)}, where a string belongs")
    elif not content.strip():
        problems.append(f"{where}.content: empty")
    # Columnar files fill the keys that only other rows use with null.
    if extra := [key for key, inner in entry.items() if key not in {"role", "content"} and inner is not None]:
        problems.append(f"{where}: {_excerpt(extra[0])} would be lost; a message has only role and content")
    return Message(cast("Role", role), cast("str", content)) if len(problems) == before else None


def _order(roles: list[str]) -> str | None:
    """Return what is wrong with the order of roles: system at most first, then user and assistant in turn."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns:
        return "no user message"
    for index, role in enumerate(turns):
        expected = "assistant" if index % 2 else "user"
        if role != expected:
            position = index + len(roles) - len(turns)
            return f"message {position} is from {role}, where {expected} belongs (roles: {', '.join(roles)})"
    return None


def _with_context(prompt: tuple[Message, ...], row: Mapping[str, Any], problems: list[str]) -> tuple[Message, ...]:
    """Return the prompt with the privileged context as its system message, or at the end of the one it has."""
    context = row[CONTEXT]
    if also := [column for column in TEACHER if column in row]:
        problems.append(f"teacher_prompt: given more than once, as {' and '.join([CONTEXT, *also])}; keep one of them")
    if not isinstance(context, str) or not context.strip():
        problems.append(f"{CONTEXT}: {kind(context) if not isinstance(context, str) else 'empty'}; a text belongs here")
        return ()
    if prompt and prompt[0].role == "system":
        return (Message("system", f"{prompt[0].content}\n\n{context}"), *prompt[1:])
    return (Message("system", context), *prompt)


def _with_system(side: tuple[Message, ...], row: Mapping[str, Any], problems: list[str]) -> tuple[Message, ...]:
    """Return a side with the text of the `system` column, if any, as its system message."""
    system = row.get("system", "")
    if not isinstance(system, str):
        problems.append(f"system: {kind(system)}, where a string belongs")
        return side
    if not system.strip() or not side:
        return side
    if side[0].role == "system":
        problems.append("system: given as a column and as a message; keep one of them")
        return side
    return (Message("system", system), *side)


def _text(row: Mapping[str, Any], name: str, problems: list[str]) -> str | None:
    value = row.get(name)
    if name == "id" and value == "":
        problems.append("id: empty; leave it out to get one made from the row's content")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and name != "axis":
        return str(value)
    problems.append(f"{name}: {kind(value)}, where a string belongs")
    return None


def _meta(row: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return the `meta` object together with every column that has no field of its own."""
    meta = row.get("meta", {})
    if isinstance(meta, str):  # Parquet keeps it as JSON text, because rows differ in what they hold
        try:
            meta = parse(meta)
        except ValueError as error:
            problems.append(f"meta: {error}")
            return {}
    if not isinstance(meta, dict):
        problems.append(f"meta: {kind(meta)}, where an object belongs")
        return {}
    extra = {name: value for name, value in row.items() if name not in RESERVED}
    absent = [name for name in OPTIONAL if name not in row]
    for name, value in extra.items():
        if isinstance(value, str) and (near := did_you_mean(name, absent, TYPO)):
            problems.append(f"{_cut(name)}: unknown column{near} Rename it, or put it into `meta` if it is meant")
    if both := sorted(meta.keys() & extra.keys()):
        problems.append(f"meta: holds {', '.join(both)}, and so does the row itself; keep one of them")
    merged = {**extra, **meta}
    for name, value in merged.items():
        try:
            json.dumps({name: value}, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            why = printable(str(error), newlines=False)
            problems.append(
                f"meta: {_cut(str(name))}: cannot be kept as JSON ({why}); write it as text, or leave it out"
            )
    return merged


def _excerpt(value: Any) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    text = printable(text[:80], newlines=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
