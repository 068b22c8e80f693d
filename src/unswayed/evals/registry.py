"""Every suite by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.plugins import load_installed
from unswayed.core.suggest import no_such
from unswayed.evals import suites as _built_in  # noqa: F401  (importing the package registers its suites)
from unswayed.evals.suite import NEEDS, REGISTRY, Builder, Needs, Suite


def suite(name: str, /, limit: int | None = None, *, seed: int = 0, **arguments: Any) -> Suite:
    """Return a suite by name; `name:FILE` builds it from a file (`sycophancy/pairs:eval.jsonl`).

    Args:
        name: one of `suites()`.
        limit: how many clusters (questions) to take, drawn by `seed`; all by default.
        seed: decides that draw, and what else the suite draws.
        arguments: the suite's own.

    Raises:
        ConfigError: no such suite, or arguments it does not have.
    """
    known = suites()
    base, _, file = name.partition(":")
    if base not in known:
        raise ConfigError(no_such("suite", base, known))
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; a suite needs at least one question")
    if file and "file" in arguments:
        raise ConfigError(f"suite {name}: the file is named twice, in the name and as an argument")
    if file:
        arguments["file"] = file
    try:
        made = REGISTRY[base](limit=limit, seed=seed, **arguments)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(f"suite {base}: {error}") from error
    length = arguments.get("max_new_tokens")
    if length is None or "max_new_tokens" in made.arguments:
        return made
    return replace(made, arguments={**made.arguments, "max_new_tokens": length})


def builder(name: str) -> Builder:
    """Return what builds a suite, e.g. to read from its signature which arguments it takes."""
    if name not in suites():
        raise ConfigError(no_such("suite", name, suites()))
    return REGISTRY[name]


def needs(name: str) -> Needs:
    """Return what a suite was registered with."""
    builder(name)
    return NEEDS.get(name, Needs())


def suites() -> list[str]:
    """Return the names of all suites, sorted."""
    load_installed()
    return sorted(REGISTRY)
