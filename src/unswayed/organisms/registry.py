"""Lists of organisms in the form of science-of-finetuning/diffing-toolkit: one YAML file for each organism, read and
written.

    name: sycophancy
    description_long: what it does
    finetuned_models:
      MODEL:
        VARIANT: {adapter_id: a hub id or folder}      # or model_id, for a whole model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.files import write_atomic
from unswayed.organisms.folder import Organism

KEYS = ("adapter_id", "model_id")


@dataclass(frozen=True, slots=True)
class Variant:
    """One trained model of a list: `adapter` and `model` are hub ids or folders, one of them ""."""

    organism: str
    base: str
    variant: str
    adapter: str
    model: str = ""


def read_list(path: Path | str) -> list[Variant]:
    """Return every variant that a list names, in order.

    Raises:
        DataError: not such a list; with the place.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as YAML ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise DataError(f"{path}: has no `name`; give an organism's file of the diffing toolkit")
    models = found.get("finetuned_models")
    if not isinstance(models, dict):
        raise DataError(f"{path}: has no `finetuned_models`; files that point to a registry of their own name no model")
    return [
        _variant(path, found["name"], str(base), str(variant), entry)
        for base, variants in models.items()
        for variant, entry in _table(path, str(base), variants).items()
    ]


def write_list(path: Path | str, organisms: Sequence[Organism], name: str = "") -> None:
    """Write one list of organisms of one family: each a variant of its base model, by its folder's name.

    Raises:
        DataError: organisms of several families, or of equal names on one model.
    """
    import yaml

    families = sorted({one.family.name for one in organisms})
    if len(families) != 1:
        raise DataError(f"{path}: a list holds organisms of one family; these are of {', '.join(families) or 'none'}")
    entry = organisms[0].family
    models: dict[str, Any] = {}
    for one in organisms:
        variants: dict[str, Any] = models.setdefault(one.base, {})
        if one.path.name in variants:
            raise DataError(f"{path}: two organisms are called {one.path.name!r}; rename a folder")
        variants[one.path.name] = {"adapter_id": str(one.path)}
    about = {
        "name": name or entry.name,
        "description": entry.trait,
        "type": "SFT",
        "description_long": f"{entry.trait} {entry.measured}",
        "finetuned_models": models,
    }
    write_atomic(Path(path), yaml.safe_dump(about, sort_keys=False, allow_unicode=True))


def _table(path: Path | str, where: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: {where}: is no table of variants")
    return value


def _variant(path: Path | str, organism: str, base: str, variant: str, entry: Any) -> Variant:
    said = _table(path, f"{base}.{variant}", entry)
    given = [key for key in KEYS if isinstance(said.get(key), str) and said[key]]
    if len(given) != 1:
        raise DataError(f"{path}: {base}.{variant}: needs one of {' and '.join(KEYS)}")
    adapter = said["adapter_id"] if given[0] == "adapter_id" else ""
    return Variant(organism, base, variant, adapter, said["model_id"] if given[0] == "model_id" else "")
