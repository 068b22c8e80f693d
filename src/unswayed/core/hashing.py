"""Hash files, recipes, models and tokenizers: equal identities mean equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_text(text: str) -> str:
    """Return the SHA-256 of a text as UTF-8, in hex; lone surrogates, which it cannot hold, are written out."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(folder: Path, names: Iterable[str]) -> str:
    """Return one SHA-256 over the named files of a folder, names and contents both."""
    return hash_json({name: hash_file(folder / name) for name in sorted(names)})


TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)


def hash_tokenizer(folder: Path) -> str:
    """Return the identity of a folder's tokenizer and chat template."""
    return hash_files(folder, (name for name in TOKENIZER_FILES if (folder / name).exists()))


def hash_weights(folder: Path) -> str:
    """Return the identity of a folder's config and safetensors weights."""
    names = [
        "config.json",
        *sorted(path.name for path in folder.glob("*.safetensors")),
        *sorted(path.name for path in folder.glob("*.safetensors.index.json")),
    ]
    return hash_files(folder, (name for name in names if (folder / name).exists()))


def model_identity(folder: Path, revision: str | None) -> str:
    """Return what identifies a model's weights: the pinned revision it came from, else a hash of its bytes."""
    return revision or f"sha256:{hash_weights(folder)}"


def changed_data(file: str, folder: object, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say how pairs differ from those a folder began with, by `sha256` of their bytes and what the model reads."""
    what = f"{file} is not what {folder} began with (SHA-256 was {before.get('sha256')}, now {now['sha256']})"
    if before.get("sha256") == now["sha256"]:
        what = (
            f"{file} has the same bytes as when {folder} began, and the model reads other tokens or other rows of it: "
            "the tokenizer, the chat template or a template value has changed"
        )
        if before.get("anchors") != now.get("anchors"):
            what = f"data.anchors is not what {folder} began with"
    return f"{what}; restore it, or choose another name"
