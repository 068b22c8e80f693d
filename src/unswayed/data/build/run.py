"""Read a spec, build its pairs, and write the files and the manifest with their hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unswayed._version import __version__
from unswayed.config.document import explain, read_toml
from unswayed.core.errors import ConfigError
from unswayed.core.files import write_json
from unswayed.core.hashing import hash_file
from unswayed.core.types import PromptPair
from unswayed.data.build.framing import FramingSpec
from unswayed.data.build.hints import HintSpec
from unswayed.data.build.jailbreak import JailbreakSpec
from unswayed.data.build.manifest import SCHEMA, manifest_of
from unswayed.data.build.safety import SafetySpec
from unswayed.data.build.spec import DEFAULT, Spec
from unswayed.data.read import write_pairs
from unswayed.data.split import PARTS


def kinds() -> dict[str, type[Spec]]:
    """Return every kind of spec by its name. A new kind is a module of its own and a line here."""
    return {"framing": FramingSpec, "hints": HintSpec, "jailbreak": JailbreakSpec, "safety_awareness": SafetySpec}


def load_spec(path: Path) -> Spec:
    """Read a spec.

    Raises:
        ConfigError: no such file, broken TOML, an unknown kind, an unknown key or a wrong type.
    """
    table, known = read_toml(path, "spec"), kinds()
    kind = table.get("kind", DEFAULT)
    if not isinstance(kind, str) or kind not in known:
        raise ConfigError(f"{path}: kind: no kind {kind!r}; there are {', '.join(known)}")
    try:
        return known[kind].model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error


def build_files(spec_path: Path, output: Path, *, force: bool = False) -> dict[str, Any]:
    """Build what a spec says and write it; return the manifest.

    Raises:
        ConfigError: a bad spec, or a file in the way.
        DataError: nothing to write.
    """
    spec = load_spec(spec_path)
    built = spec.build(spec_path.parent)
    paths = {part: output if part == "train" else output.with_suffix(f".{part}{output.suffix}") for part in PARTS}
    manifest_path = manifest_of(output)
    wanted = {*(paths[part] for part in built.parts), manifest_path}
    if stale := [path for path in paths.values() if path.exists() and path not in wanted]:
        raise ConfigError(f"{stale[0]} is left from another build and would not belong to this one; remove it")
    if not force and (taken := sorted(str(path) for path in wanted if path.exists())):
        raise ConfigError(f"{', '.join(taken)} exists already; choose another name, or pass --force to replace it")
    manifest_path.unlink(missing_ok=True)  # a manifest never stands beside files of another build
    files = {}
    for part, pairs in built.parts.items():
        write_pairs(paths[part], pairs)
        files[part] = {"file": paths[part].name, **_counts(pairs), "sha256": hash_file(paths[part])}
    every = [pair for pairs in built.parts.values() for pair in pairs]
    manifest = {
        "schema": SCHEMA,
        "unswayed": __version__,
        "spec": spec.model_dump(mode="json"),
        "inputs": dict(built.inputs),
        "sources": [dict(source) for source in built.sources],
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
