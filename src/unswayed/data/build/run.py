"""Read a spec, build its pairs, and write the files and the manifest with their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unswayed.config.document import explain, read_toml
from unswayed.core.errors import ConfigError
from unswayed.core.suggest import no_such
from unswayed.core.tables import NO_NAMES
from unswayed.data.build.framing import FramingSpec
from unswayed.data.build.hints import HintSpec
from unswayed.data.build.jailbreak import JailbreakSpec
from unswayed.data.build.publish import write_parts
from unswayed.data.build.safety import SafetySpec
from unswayed.data.build.spec import DEFAULT, Spec


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
        raise ConfigError(f"{path}: kind: {no_such('kind', str(kind), known)}")
    try:
        return known[kind].model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, known[kind])}") from error


def build_files(
    spec_path: Path, output: Path, *, force: bool = False, columns: Mapping[str, str] = NO_NAMES
) -> dict[str, Any]:
    """Build what a spec says and write it; return the manifest. `columns` adds to those of the spec.

    Raises:
        ConfigError: a bad spec, a file in the way, or a place that cannot be written.
        DataError: nothing to write.
    """
    spec = load_spec(spec_path)
    spec = spec.model_copy(update={"columns": {**spec.columns, **columns}})
    if spec.columns and isinstance(spec, JailbreakSpec):
        raise ConfigError(f"{spec_path}: columns: files of requests are read under the names that docs/suites list")
    built = spec.build(spec_path.parent)
    described = spec.model_dump(mode="json", exclude=None if spec.columns else {"columns"})
    inputs, sources = dict(built.inputs), [dict(source) for source in built.sources]
    return write_parts(built.parts, output, {"spec": described, "inputs": inputs, "sources": sources}, force=force)
