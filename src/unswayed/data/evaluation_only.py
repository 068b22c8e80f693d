"""Pairs made of a set whose authors ask that nobody trains on it: recognised, and refused unless that is meant.

Recognised are the manifest beside a file that `unswayed data build` wrote, a `source` (or `dataset`) column, the text
that authors put into a set so that copies are found, and rows equal to those of a copy on this machine. What bears none
of these marks cannot be recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.overlap import words
from unswayed.core.types import PromptPair
from unswayed.data.build.manifest import manifest_of, manifest_sources
from unswayed.sources.catalogue import in_cache, read_rows, sources, under_data
from unswayed.sources.source import Source

SHORTEST = 4
"""Words that a row's text needs before a message equal to it shows where the message came from."""
_COLUMNS = ("source", "dataset", "original_dataset")
_TEXTS = ("prompt", "question")


def refuse_evaluation_only(path: Path, pairs: Sequence[PromptPair], *, allowed: bool) -> dict[str, str]:
    """Return which evaluation-only sets the pairs hold, where the recipe allows that.

    Args:
        path: the file the pairs were read from; a manifest may lie beside it.
        pairs: its rows.
        allowed: `data.allow_evaluation_only`.

    Returns:
        The sets by name, each with how it was recognised; the run records them.

    Raises:
        DataError: there is one, and it is not allowed.
    """
    found = find_evaluation_only(path, pairs)
    if found and not allowed:
        raise DataError(
            f"{path}: holds rows of a set that is for evaluation only; what it measures means nothing for a model that "
            "was trained on it. Take these rows out, or set data.allow_evaluation_only = true, which the run records:",
            [f"{name}: {how}" for name, how in found.items()],
        )
    return found


def find_evaluation_only(path: Path, pairs: Sequence[PromptPair]) -> dict[str, str]:
    """Return the evaluation-only sets among the pairs by name, each with how it was recognised."""
    manifest = {name for entry in manifest_sources(manifest_of(path)) for name in _names({"source": entry})}
    columns = {name for pair in pairs for name in _names(pair.meta)}
    found = {}
    for one in (one for one in sources() if one.evaluation_only):
        aliases = {alias.casefold() for alias in _aliases(one)}
        if aliases & manifest:
            found[one.name] = f"{manifest_of(path)} names it"
        elif aliases & columns:
            found[one.name] = "a column of the rows names it"
        elif one.canary and any(one.canary in text for pair in pairs for text in _strings(pair)):
            found[one.name] = "rows hold the text that marks its copies"
        elif same := _equal_rows(one, pairs):
            found[one.name] = f"{same} messages are rows of it"
    return found


def _aliases(one: Source) -> tuple[str, ...]:
    at_home = one.home.partition("/")[2].removeprefix("datasets/")
    return one.name, one.name.rpartition("/")[2], one.home, at_home, f"https://{one.home}"


def _names(meta: Mapping[str, Any]) -> Iterator[str]:
    for column in _COLUMNS:
        value = meta.get(column)
        if isinstance(value, Mapping):  # an identity as `read_source` returns it
            value = value.get("source")
        if isinstance(value, str):
            yield value.casefold()


def _strings(pair: PromptPair) -> Iterator[str]:
    yield from (message.content for message in (*pair.prompt, *pair.teacher_prompt))
    yield from (value for value in (pair.target, *pair.meta.values()) if isinstance(value, str))


def _equal_rows(one: Source, pairs: Sequence[PromptPair]) -> int:
    """Return how many different messages of the pairs are texts of the set, where a copy of it lies here."""
    path = under_data(one) or in_cache(one)
    if path is None:
        return 0
    texts = {
        run
        for row in read_rows(one, path)
        for key, value in row.items()
        if isinstance(value, str) and any(part in key.casefold() for part in _TEXTS)
        if len(run := words(value)) >= SHORTEST
    }
    said = {words(message.content) for pair in pairs for message in (*pair.prompt, *pair.teacher_prompt)}
    return len(texts & said)
