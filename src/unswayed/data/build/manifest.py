"""Where the manifest of a file of pairs lies, and the version of its form."""

from __future__ import annotations

from pathlib import Path

from unswayed.data.split import PARTS

SCHEMA = 1


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a file of pairs lies: `pairs.jsonl` has `pairs.manifest.json`."""
    stem = path.stem
    for part in PARTS[1:]:
        stem = stem.removesuffix(f".{part}")
    return path.with_name(f"{stem}.manifest.json")
