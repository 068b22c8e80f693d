"""The catalogue of suites: one line about each and what it needs, read without building any."""

from __future__ import annotations

import inspect
from typing import Any

from unswayed.evals.arguments import arguments_of
from unswayed.evals.registry import builder, needs, suites
from unswayed.sources.catalogue import source


def describe(name: str) -> dict[str, Any]:
    """Return what is known of a suite, as plain JSON values.

    `asks` is the first line of its builder's docstring; `data` says in words where its questions come from, and
    `sources` names the public sets; `arguments` are those that `unswayed eval -T` can give, with their defaults.

    Raises:
        ConfigError: no such suite.
    """
    about, made = needs(name), inspect.signature(builder(name)).parameters
    line = (inspect.getdoc(builder(name)) or "").partition("\n")[0].removeprefix("Build ").removesuffix(".")
    return {
        "name": name,
        "asks": line[:1].upper() + line[1:],
        "unit": about.unit,
        "data": _data(about.sources, about.extra, made.get("file")),
        "sources": list(about.sources),
        "judge": about.judge,
        "extra": about.extra,
        "arguments": {key: _default(each) for key, each in arguments_of(name).items()},
    }


def catalogue() -> list[dict[str, Any]]:
    """Return every suite, sorted by name."""
    return [describe(name) for name in suites()]


def _data(public: tuple[str, ...], extra: str, file: inspect.Parameter | None) -> str:
    if public:
        flags = source(public[0]).flags
        more = f" and {len(public) - 1} more" if len(public) > 1 else ""
        careful = f" ({', '.join(flags)})" if flags else ""
        return f"{public[0]}{more}{careful}" + (f"; extra {extra}" if extra else "")
    if file is None:
        return "built in"
    return "your file" if file.default is file.empty else "built in, or your file"


def _default(parameter: inspect.Parameter) -> Any:
    """Return an argument's default; None where it has none, or must be given."""
    value = parameter.default
    return None if value is parameter.empty else list(value) if isinstance(value, tuple) else value
