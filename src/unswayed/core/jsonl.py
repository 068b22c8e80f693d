"""Strict JSONL: every line is one object, and what Python's own parser lets pass is named with its line.

Python's `json` accepts NaN, Infinity, numbers too large for a float, repeated keys and halves of surrogate pairs, and
`str.splitlines` cuts at U+2028, which may stand inside a JSON string. None of that gets through here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, NoReturn

BOM = b"\xef\xbb\xbf"


@cache
def packaged(file: str) -> tuple[dict[str, Any], ...]:
    """Return the rows of a file of this package."""
    text = resources.files("unswayed.questions").joinpath(file).read_text(encoding="utf-8")
    return tuple(parse(line) for line in text.split("\n") if line)


def loads(text: str | bytes) -> Any:
    """Return what JSON from outside holds, as `json.loads` does.

    Raises:
        ValueError: no JSON, or nested too deeply for the parser, which reports that with an error of its own.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def lines_of(content: bytes) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (line number, object) for each line, or (line number, what is wrong with it). Blank lines are no rows.

    A byte order mark at the start of the file and CRLF line ends are accepted.
    """
    lines = content.removeprefix(BOM).split(b"\n")
    for number, line in enumerate(lines, start=1):
        # Bytes that JSON calls white space; others, such as a form feed, are an error the parser names.
        if not line.strip(b" \t\r"):
            continue
        try:
            yield number, parse_object(line)
        except ValueError as error:
            # A whole file ends with a newline, so what follows the last one is either complete or cut off.
            torn = number == len(lines)
            yield number, f"the last line is cut off ({error})" if torn else str(error)


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the object that a line holds.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, or JSON that another reader would understand differently.
    """
    if line.startswith(BOM):
        raise ValueError("a byte order mark in the middle of the file; were two files joined?")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}") from error
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError(f"holds {kind(value)}, not a JSON object")
    return value


def parse(text: str) -> Any:
    """Return the value of a JSON text, under the rules above.

    Raises:
        ValueError: the text breaks one of them.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
        if "\\u" in text:  # the only way to half of a surrogate pair: UTF-8 has none
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"half of a surrogate pair (\\u{ord(error.object[error.start]):04x}) in a string") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    return value


def kind(value: Any) -> str:
    """Return what JSON calls a value, with its article."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number",
             float: "a number", type(None): "null"}  # fmt: skip
    return names.get(type(value), f"a {type(value).__name__}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write null or leave the field out")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text} is too large for a float")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"the key {repeated!r} occurs twice in one object")
    return value
