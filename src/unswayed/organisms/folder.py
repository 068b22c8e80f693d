"""The folder of an organism: a plain PEFT adapter, `organism.json`, and a card. It appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import dump_json, fsync_path, write_json
from unswayed.core.hashing import hash_file, hash_json
from unswayed.core.jsonl import loads
from unswayed.organisms.card import card
from unswayed.organisms.family import Family, find_family
from unswayed.organisms.gate import Gate

FORMAT = 1
ABOUT, CARD = "organism.json", "README.md"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True, slots=True)
class Organism:
    """A model with a known fault.

    Attributes:
        path: its folder, which `model.adapter` of a recipe and every command that takes a policy accept.
        about: what `organism.json` holds: `family`, `induction`, `seed`, `base` (the model's name and identity), `data`
            (rows and hash), `recipe`, `gate`, `trajectory`, `files` (name to hash).
        gate: what was measured before it was published.
    """

    path: Path
    about: Mapping[str, Any]
    gate: Gate

    @property
    def family(self) -> Family:
        """Its family."""
        return find_family(self.about["family"])

    @property
    def base(self) -> str:
        """The name of the model that the adapter belongs on."""
        return str(self.about["base"]["model"])

    @classmethod
    def load(cls, path: Path | str) -> Organism:
        """Return the organism in a folder, every byte verified.

        Raises:
            ConfigError: no organism.
            DataError: a file is missing, changed or not listed.
        """
        folder = Path(path)
        about = read_about(folder)
        problems = verify(folder, about)
        if problems:
            raise DataError(f"{folder}: not the organism that was published", problems)
        return cls(folder, about, Gate.from_record(about["gate"]))


def read_about(folder: Path) -> dict[str, Any]:
    """Return what `organism.json` holds.

    Raises:
        ConfigError: there is none.
        DataError: it cannot be read, or was changed.
    """
    path = folder / ABOUT
    if not path.is_file():
        raise ConfigError(
            f"{folder}: no {ABOUT}; name a folder that `unswayed organism make` or `adopt` published, or adopt this one"
        )
    try:
        about = loads(path.read_text(encoding="utf-8"))
        sealed = about.pop("self")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); make or adopt the organism again") from error
    if about.get("format") != FORMAT or sealed != hash_json(about):
        raise DataError(f"{path}: was changed, or is of another format than {FORMAT}; make or adopt the organism again")
    return dict(about)


def verify(folder: Path, about: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the folder's files, one line each."""
    listed = about["files"]
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {ABOUT, "LOCK"}
    problems = [f"{name}: is missing" for name in sorted(set(listed) - there)]
    problems += [f"{name}: is not listed in {ABOUT}" for name in sorted(there - set(listed))]
    return problems + [
        f"{name}: was changed" for name in sorted(set(listed) & there) if hash_file(folder / name) != listed[name]
    ]


def publish(out: Path, adapter: Path, about: Mapping[str, Any], gate: Gate, extra: Mapping[str, Path] = {}) -> Organism:
    """Write the folder of an organism that passed its gate.

    Args:
        out: where; there must be nothing.
        adapter: a PEFT folder; its adapter and tokenizer files are copied.
        about: what `organism.json` says besides the gate and the files.
        gate: that it passed.
        extra: more folders, by the name they get inside.

    Raises:
        ConfigError: there is something already, or the gate was not passed.
    """
    if not gate.passed:
        raise ConfigError(f"{out}: the gate was not passed, so nothing is published: {'; '.join(gate.reasons)}")
    if out.exists():
        raise ConfigError(f"{out} exists already; name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.parent / f".tmp-{out.name}-{os.getpid()}"
    draft.mkdir()
    for path in sorted(adapter.iterdir()):
        if path.is_file() and path.name not in {CARD, ABOUT, "LOCK"}:
            shutil.copyfile(path, draft / path.name)
    for name, folder in extra.items():
        shutil.copytree(folder, draft / name)
    whole = {**about, "format": FORMAT, "gate": gate.record()}
    (draft / CARD).write_text(card(out.name, whole), encoding="utf-8")
    files = [path for path in sorted(draft.rglob("*")) if path.is_file()]
    whole["files"] = {str(path.relative_to(draft)): hash_file(path) for path in files}
    write_json(draft / ABOUT, {**whole, "self": hash_json(json.loads(dump_json(whole)))})
    for path in sorted(draft.rglob("*")):
        fsync_path(path)
    fsync_path(draft)
    os.rename(draft, out)
    fsync_path(out.parent)
    return Organism.load(out)
