"""The arguments of suites, as a command line (`-T NAME=VALUE`) or a recipe sets them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from unswayed.config.document import read_value
from unswayed.core.errors import ConfigError
from unswayed.core.suggest import did_you_mean
from unswayed.evals.registry import builder

OPTIONS = ("limit", "seed")
"""Arguments of every suite that the command line has options for."""
_PLAIN = (str, int, float, bool, Path, NoneType)
_HOLDERS = (Union, UnionType, Sequence, list, tuple)


def arguments_of(name: str) -> dict[str, inspect.Parameter]:
    """Return the arguments of a suite that can be written as text, by name; those that take objects are for Python."""
    found = inspect.signature(builder(name), eval_str=True).parameters.values()
    named = (each for each in found if each.kind is each.KEYWORD_ONLY or each.kind is each.POSITIONAL_OR_KEYWORD)
    return {each.name: each for each in named if each.name not in OPTIONS and _plain(each.annotation)}


def read_arguments(suites: Iterable[str], settings: Iterable[str]) -> dict[str, Any]:
    """Return the arguments that every one of the suites is given.

    A value is TOML where it parses as TOML, else text; for an argument that takes several values they may stand with
    commas between them (`families=hearsay,authority`).

    Args:
        suites: names as on the command line; a file after a colon is left aside.
        settings: `NAME=VALUE`, each.

    Raises:
        ConfigError: a setting without a name, a name given twice, an argument that a suite has not, or a value that it
            cannot take.
    """
    given: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"-T {setting!r}: write it as NAME=VALUE, e.g. -T cot=true")
        if name in given:
            raise ConfigError(f"-T {name} is given twice")
        if name in OPTIONS:
            raise ConfigError(f"-T {setting!r}: {name} is an option of its own, --{name} {text}")
        for suite in suites:
            values = (read_value(text), text, _parts(text))
            given[name] = _take(suite, name, values, "-T", f"-T {name}={text}")
    return given


def check_arguments(suite: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `args` that a recipe gives to a suite, as `-T` would; text may stand for several values.

    Raises:
        ConfigError: an argument that the suite has not, or a value that it cannot take.
    """
    return {
        name: _take(suite, name, (value, _parts(value)) if isinstance(value, str) else (value,), "args", f"args.{name}")
        for name, value in arguments.items()
    }


def _take(suite: str, name: str, candidates: Iterable[Any], place: str, said: str) -> Any:
    """Return the first candidate that the suite's argument can be."""
    suite = suite.partition(":")[0]
    known = arguments_of(suite)
    if name not in known:
        there = ", ".join(known) or "none that text can give"
        near = did_you_mean(name, known)
        raise ConfigError(f"suite {suite} has no argument {name!r} for {place}{near}; it has {there}")
    taken = TypeAdapter(known[name].annotation)
    refused: ValidationError | None = None
    for candidate in candidates:
        try:
            return taken.validate_python(candidate)
        except ValidationError as error:
            refused = refused or error
    assert refused is not None
    raise ConfigError(f"{said}: suite {suite} cannot take it: {refused.errors()[0]['msg']}")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _plain(annotation: Any) -> bool:
    """Return whether values of a type can be written as text."""
    origin = get_origin(annotation)
    if origin is None:
        return annotation in _PLAIN
    return origin is Literal or (
        origin in _HOLDERS and all(_plain(part) for part in get_args(annotation) if part is not Ellipsis)
    )
