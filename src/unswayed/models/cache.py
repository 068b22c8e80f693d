"""Converted models on disk: built once, published whole, checked on every use.

    CACHE/models/NAME/LOCK              held while NAME is built; other processes wait
    CACHE/models/NAME/.tmp-…            work in progress; removed by whoever holds the lock next
    CACHE/models/NAME/KEY/…             the model folder; KEY names the source bytes and the converter
    CACHE/models/NAME/KEY/manifest.json size, time and SHA-256 of every file; written last

A folder is used only if every file of its manifest has its size, and its bytes too where its time has changed.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, LockedError, UnswayedError
from unswayed.core.files import fsync_path, locked, remove_temporary, remove_tree, write_json
from unswayed.core.hashing import hash_file
from unswayed.core.jsonl import loads
from unswayed.core.progress import size

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
FORMAT = 1
ADVICE = "set UNSWAYED_CACHE to a folder that can"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def model_folder(name: str, key: str) -> Path:
    """Return where a converted model lies, or would lie."""
    return cache_root() / "models" / name / key


def cached_folders() -> list[Path]:
    """Return every model folder of the cache, whole or damaged, ordered by path."""
    return sorted(path for path in (cache_root() / "models").glob("*/*") if path.is_dir() and path.name[0] != ".")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a model folder.

    Raises:
        ValueError: it is missing, damaged, or from another version of the format.
    """
    try:
        manifest = loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT or not manifest["files"]:
            raise ValueError(f"its format is {manifest['format']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{MANIFEST} cannot be used ({type(error).__name__}: {error})") from error
    return dict(manifest)


def problems_of(folder: Path, *, full: bool = False) -> list[str]:
    """Return what is wrong with a model folder; nothing where every byte that was looked at is right.

    Sizes are always compared. Bytes are hashed where a file's time is not the one it was published with (it was
    written to, or copied from another machine), and always with `full`.
    """
    try:
        listed = read_manifest(folder)["files"]
    except ValueError as error:
        return [str(error)]
    problems = []
    for name, entry in sorted(listed.items()):
        path = folder / name
        try:
            found = path.stat()
            if found.st_size != entry["size"]:
                problems.append(f"{name} has {found.st_size} bytes instead of {entry['size']}")
            elif (full or found.st_mtime_ns != entry["mtime_ns"]) and hash_file(path) != entry["sha256"]:
                problems.append(f"{name} has other bytes than were written")
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
    return problems


def obtain(
    folder: Path, build: Callable[[Path], tuple[Path, Mapping[str, Any]]], *, what: str, needs: int, full: bool = False
) -> Path:
    """Return `folder`, built first where it is missing or damaged.

    Args:
        folder: the model folder to publish.
        build: given an empty work folder, returns the finished model folder inside it, and facts for the manifest.
            Whatever else it leaves in the work folder is thrown away.
        what: the model's name, for messages.
        needs: bytes that building takes on disk at most.
        full: hash every byte of what is there already.

    Raises:
        ConfigError: the cache folder cannot be written.
        UnswayedError: the disk is full; nothing is left behind.
    """
    if not problems_of(folder, full=full):
        _tidy(folder.parent)
        return folder
    with _explained(folder, needs), _held(folder.parent, what):
        found = problems_of(folder, full=full)  # another process may have built it while we waited
        if not found:
            return folder
        if folder.exists():
            log.warning("%s: the cached copy is damaged (%s); building it again", what, found[0])
        remove_temporary(folder.parent, "*")
        _check_space(folder.parent, needs)
        work = folder.parent / f".tmp-{folder.name}-{os.getpid()}"
        work.mkdir()
        try:
            finished, facts = build(work)
            seal(finished, facts)
            if folder.exists():
                os.rename(folder, work / "damaged")
            os.rename(finished, folder)
            fsync_path(folder.parent)
        finally:
            remove_tree(work, folder.parent)
    return folder


def _tidy(parent: Path) -> None:
    """Remove what a process left that was killed between publishing a model and removing its work folder."""
    if any(parent.glob(".tmp-*")):
        with suppress(LockedError, OSError), locked(parent):  # in use, or a cache that others own: not ours to tidy
            remove_temporary(parent, "*")


def seal(folder: Path, facts: Mapping[str, Any]) -> None:
    """Make every file of a folder durable, then write the manifest with their hashes."""
    files = {}
    for path in sorted(folder.iterdir()):
        fsync_path(path)
        found = path.stat()
        files[path.name] = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": hash_file(path)}
    write_json(folder / MANIFEST, {"format": FORMAT, **facts, "files": files})


@contextmanager
def _held(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock; wait for another process that holds it, and say so."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, advice=ADVICE))
        except LockedError:
            log.info("%s: another process is fetching it; waiting for that to finish", what)
            stack.enter_context(locked(folder, wait=True, advice=ADVICE))
        yield


def _check_space(folder: Path, needs: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs:
        raise UnswayedError(
            f"{folder}: {size(free)} free, {size(needs)} needed; make room, or set UNSWAYED_CACHE to a folder on a "
            "bigger disk"
        )


@contextmanager
def _explained(folder: Path, needs: int) -> Iterator[None]:
    """Turn an error of the operating system into one with advice."""
    try:
        yield
    except UnswayedError:
        raise
    except Exception as error:
        code = getattr(error, "errno", None)
        # safetensors reports a full disk as an error of its own, with the number in its text.
        if code in FULL or any(f"(os error {number})" in str(error) for number in FULL):
            raise UnswayedError(
                f"{folder.parent}: the disk is full; about {size(needs)} are needed. Nothing was left behind. Make "
                "room, or set UNSWAYED_CACHE to a folder on a bigger disk"
            ) from error
        if code in _REFUSED:
            raise ConfigError(
                f"{getattr(error, 'filename', None) or folder.parent}: cannot be written ({error}); set UNSWAYED_CACHE "
                "to a folder that can"
            ) from error
        raise
