"""Write checkpoints whole or not at all, and load only those whose every byte is verified.

Commit protocol: write into `.tmp-…`, hash every file into `MANIFEST.json`, fsync files and folder, rename, fsync
the parent, and only then prune. A checkpoint counts only if every byte matches its manifest. If checkpoints exist and
none is valid, the run stops: it never starts over in silence.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import CheckpointError
from unswayed.core.files import dump_json, fsync_path, remove_tree
from unswayed.core.hashing import hash_file, hash_json

log = logging.getLogger(__name__)
MANIFEST = "MANIFEST.json"
SCHEMA = 1
FOLDER = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose every byte was verified. `info` is what the trainer recorded."""

    path: Path
    step: int
    info: Mapping[str, Any]


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first, valid or not."""
    root = run_dir / "checkpoints"
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if FOLDER.fullmatch(path.name)]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """Return the step a checkpoint folder is named after."""
    return int(path.name.removeprefix("step-"))


def save(run_dir: Path, step: int, write: Callable[[Path], None], info: Mapping[str, Any], keep: int) -> Path:
    """Commit a checkpoint, then prune to the newest `keep`.

    Args:
        run_dir: the run's folder; its lock is held by the caller.
        step: optimizer steps taken.
        write: writes the checkpoint's files into an empty folder.
        info: what else to record in the manifest (plain JSON).
        keep: newest checkpoints to keep, at least 2.

    Raises:
        CheckpointError: the disk is full or refuses; what was there before is untouched.
    """
    root = run_dir / "checkpoints"
    final = root / f"step-{step:06d}"
    if final.exists():
        return final
    temporary = root / f".tmp-{step:06d}-{os.getpid()}"
    try:
        os.makedirs(temporary)
        write(temporary)
        files = {
            path.name: {"sha256": hash_file(path), "size": path.stat().st_size} for path in sorted(temporary.iterdir())
        }
        manifest = {"schema": SCHEMA, "step": step, "files": files, "info": dict(info)}
        manifest["self"] = hash_json(manifest)
        with open(temporary / MANIFEST, "w", encoding="utf-8") as file:
            file.write(dump_json(manifest))
        for path in sorted(temporary.iterdir()):
            fsync_path(path)
        fsync_path(temporary)
        os.rename(temporary, final)
        fsync_path(root)
    except Exception as error:  # safetensors reports a full disk with an exception of its own, not an OSError
        with suppress(OSError):
            remove_tree(temporary, root)
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        raise CheckpointError(
            f"{final}: cannot be written ({error}); earlier checkpoints are intact. Free space on the disk, or set "
            "save.dir to another one, then go on with --resume"
        ) from error
    log.debug("saved %s", final)
    prune(run_dir, keep)
    return final


def prune(run_dir: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` checkpoints; return what was deleted. Never leaves fewer than two."""
    surplus = list_checkpoints(run_dir)[: -max(keep, 2)]
    for path in surplus:
        remove_tree(path, run_dir / "checkpoints")
    return surplus


def verify(path: Path) -> list[str]:
    """Return everything that is wrong with a checkpoint, one line each; an empty list means every byte is right."""
    try:
        manifest = _read_manifest(path)
    except (OSError, ValueError) as error:
        return [f"{MANIFEST} is missing or damaged ({error})"]
    try:
        return _differences(path, manifest)
    except OSError as error:
        return [f"{Path(error.filename or path).name} cannot be read ({error.strerror or error})"]


def _differences(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    if manifest["schema"] != SCHEMA:
        return [f"{MANIFEST} has schema {manifest['schema']!r}; this version reads {SCHEMA}"]
    step, files = manifest["step"], manifest["files"]
    problems = [] if step == step_of(path) else [f"{MANIFEST} is of step {step!r}"]
    present = {entry.name for entry in path.iterdir()} - {MANIFEST}
    problems += [f"{name} is missing" for name in sorted(files.keys() - present)]
    problems += [f"{name} is not in the manifest" for name in sorted(present - files.keys())]
    for name in sorted(files.keys() & present):
        file = path / name
        if file.stat().st_size != files[name]["size"]:
            problems.append(f"{name} has {file.stat().st_size} bytes, the manifest says {files[name]['size']}")
        elif hash_file(file) != files[name]["sha256"]:
            problems.append(f"{name} differs from its SHA-256 in the manifest")
    return problems


def latest_valid(run_dir: Path) -> Checkpoint | None:
    """Return the newest checkpoint that verifies, or None if the run has none at all.

    A damaged or unreadable newer one is renamed to `damaged-…`, so that its step can be written again; a warning names
    it.

    Raises:
        CheckpointError: checkpoints exist and none is valid, or one that is damaged cannot be renamed.
    """
    found = list_checkpoints(run_dir)
    complaints: list[str] = []
    damaged: list[Path] = []
    for path in reversed(found):
        problems = verify(path)
        if not problems:
            for broken in damaged:
                _set_aside(broken)
            if complaints:
                lost = step_of(found[-1]) - step_of(path)
                complaints.append(f"going on from step {step_of(path)}; {lost} steps are done again")
                log.warning("\n".join(complaints))
            manifest = _read_manifest(path)
            return Checkpoint(path, manifest["step"], manifest["info"])
        complaints.append(f"{path} is damaged: {'; '.join(problems)}")
        damaged.append(path)
    if found:
        raise CheckpointError(
            "\n".join([*complaints, "no checkpoint of this run is valid. Restore one, or start over with --fresh"])
        )
    return None


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest whose own bytes are right.

    Raises:
        OSError, ValueError: it is not there, or not what was written.
    """
    text = (path / MANIFEST).read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text)
    if text != dump_json(manifest) or manifest.get("self") != hash_json(
        {key: value for key, value in manifest.items() if key != "self"}
    ):
        raise ValueError("its bytes are not those that were written")
    return manifest


def _set_aside(path: Path) -> None:
    number = 0
    while (target := path.parent / f"damaged-{path.name}-{number}").exists():
        number += 1
    try:
        os.rename(path, target)
        fsync_path(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: is damaged, and cannot be renamed ({error}); move it away") from error
