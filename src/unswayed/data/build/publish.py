"""Write the parts of a set of pairs, and last the manifest with their hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.core.errors import ConfigError
from unswayed.core.files import write_json, writing
from unswayed.core.hashing import hash_file
from unswayed.core.types import PromptPair
from unswayed.data.build.manifest import SCHEMA, manifest_of
from unswayed.data.read import write_pairs
from unswayed.data.split import PARTS


def write_parts(
    parts: Mapping[str, Sequence[PromptPair]],
    output: Path,
    facts: Mapping[str, Any],
    *,
    force: bool = False,
    plain: Collection[str] = (),
) -> dict[str, Any]:
    """Write each part to a file and return the manifest.

    Args:
        parts: pairs by part; see `PARTS`.
        output: the file of the training part; the others lie beside it.
        facts: further entries of the manifest: what the pairs were made of.
        force: replace files that exist.
        plain: ids of pairs without a teacher's prompt; see `write_pairs`.

    Raises:
        ConfigError: a file in the way, or a place that cannot be written.
        DataError: pairs that could not be read again.
        UnswayedError: the disk is full.
    """
    with writing(output, "choose another file with -o"):
        paths = {part: output if part == "train" else output.with_suffix(f".{part}{output.suffix}") for part in PARTS}
        manifest_path = manifest_of(output)
        wanted = {*(paths[part] for part in parts), manifest_path}
        if stale := [path for path in paths.values() if path.exists() and path not in wanted]:
            raise ConfigError(f"{stale[0]} is left from another build and would not belong to this one; remove it")
        if not force and (taken := sorted(str(path) for path in wanted if path.exists())):
            raise ConfigError(f"{', '.join(taken)} exists already; choose another name, or pass --force to replace it")
        manifest_path.unlink(missing_ok=True)  # a manifest never stands beside files of another build
        files = {}
        for part, pairs in parts.items():
            write_pairs(paths[part], pairs, plain=plain)
            files[part] = {"file": paths[part].name, **_counts(pairs), "sha256": hash_file(paths[part])}
        every = [pair for pairs in parts.values() for pair in pairs]
        manifest = {
            "schema": SCHEMA,
            "unswayed": __version__,
            **facts,
            "files": files,
            "groups": len({pair.group for pair in every}),
            "perturbations": sorted({pair.perturbation for pair in every}),
        }
        write_json(manifest_path, manifest)
    return manifest


def _counts(pairs: Sequence[PromptPair]) -> dict[str, Any]:
    """Rows, the groups they fan out from, and rows by perturbation and by pairs whose two sides are equal."""
    return {
        "rows": len(pairs),
        "groups": len({pair.group for pair in pairs}),
        "anchors": sum(pair.prompt == pair.teacher_prompt for pair in pairs),
        "rows_by_perturbation": dict(sorted(Counter(pair.perturbation for pair in pairs).items())),
    }
