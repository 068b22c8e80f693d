"""Where the manifest of a file of pairs lies, and the version of its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unswayed.core.jsonl import loads
from unswayed.data.split import PARTS

SCHEMA = 1


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a file of pairs lies: `pairs.jsonl` has `pairs.manifest.json`."""
    path = path if path.name else path.absolute()
    stem = path.stem
    for part in PARTS[1:]:
        stem = stem.removesuffix(f".{part}")
    return path.with_name(f"{stem}.manifest.json")


def manifest_sources(path: Path) -> list[Any]:
    """Return the sources that a manifest lists; none where it cannot be read, which `unswayed data check` reports."""
    try:
        manifest = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    listed = manifest.get("sources", ()) if isinstance(manifest, dict) else ()
    return listed if isinstance(listed, list) else []
