"""Reads from the JSON files of a model folder what a tokenizer lacks: stop ids, context length, embedding size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import loads

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
UNLIMITED = 10**9  # transformers writes 1e30 where a tokenizer has no limit


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is no file.

    Raises:
        ConfigError: it cannot be read, or is no object.
    """
    if not path.exists():
        return {}
    try:
        value = loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is not a JSON object")
    return value


def _tables(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a model's config and, where a model of several kinds of input nests one, its text part."""
    yield config
    if isinstance(config.get("text_config"), dict):
        yield config["text_config"]


def eos_ids(config: Mapping[str, Any]) -> Iterator[int]:
    """Yield every id that ends a text."""
    for table in _tables(config):
        eos = table.get("eos_token_id")
        yield from (id_ for id_ in (eos if isinstance(eos, list) else [eos]) if isinstance(id_, int))


def find_int(config: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """Return the first whole number under one of the keys."""
    return next((table[key] for table in _tables(config) for key in keys if isinstance(table.get(key), int)), None)


def context_length(config: Mapping[str, Any], tokenizer: Any) -> int | None:
    """Return how many tokens fit: by the config, else by the tokenizer; None where neither knows.

    Beyond `steady_length` nothing fits: what a row gives there would depend on the rows beside it.
    """
    known = find_int(config, CONTEXT_KEYS)
    limit = tokenizer.model_max_length
    fits = known if known is not None else int(limit) if limit is not None and limit < UNLIMITED else None
    steady = steady_length(config)
    return fits if steady is None else steady if fits is None else min(fits, steady)


def steady_length(config: Mapping[str, Any]) -> int | None:
    """Return the length up to which rotary frequencies do not depend on the longest row of a batch, or None.

    With LongRoPE (Phi-3) and dynamic NTK, Transformers chooses the frequencies of all rows by the longest of them.
    """
    found = []
    for table in _tables(config):
        rotary = table.get("rope_parameters") or table.get("rope_scaling") or {}
        for values in (rotary, *(value for value in rotary.values() if isinstance(value, dict))):
            kind = str(values.get("rope_type") or values.get("type") or "")
            if kind == "longrope" or "dynamic" in kind:
                key = "original_max_position_embeddings"
                found.append(values.get(key) or table.get(key) or table.get("max_position_embeddings"))
    return min((value for value in found if isinstance(value, int)), default=None)
