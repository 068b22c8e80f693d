"""Write files whole or not at all, append to logs, lock folders, and delete folders.

Every other module writes through this one, so the order "write, fsync file, rename, fsync folder" is kept in one place.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from unswayed.core.errors import ConfigError, DataError, LockedError, UnswayedError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it may become a file or folder name.

    Raises:
        ConfigError: anything but 1 to 100 letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{what} {name!r} cannot be a folder name; use 1 to 100 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


def fsync_path(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`: readers see the old file or the new one, never a part.

    The temporary file lies in the same folder, so the rename cannot cross file systems. What killed writers of `path`
    left there is removed. What can be written again at no cost need not be durable, which saves two waits for the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.parent / f".tmp-{path.name}-{os.getpid()}"
    try:
        with _naming(path), open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_path(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path into an error of the operating system that lacks one, as those of `write` and `fsync` do."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def dump_json(value: Any) -> str:
    """Return canonical JSON: sorted keys, no NaN, one trailing newline; equal values give equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write canonical JSON, whole or not at all."""
    write_atomic(path, dump_json(value), durable=durable)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows, whole or not at all, one JSON object a line."""
    write_atomic(path, "".join(jsonl_line(row) for row in rows))


def jsonl_line(row: Mapping[str, Any]) -> str:
    """Return one row as one line."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows and make them durable. A kill can leave a torn last line, which `read_jsonl` drops."""
    created = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write("".join(jsonl_line(row) for row in rows))
        file.flush()
        os.fsync(file.fileno())
    if created:
        fsync_path(path.parent)


def read_json(path: Path, advice: str = "restore it") -> dict[str, Any]:
    """Return the JSON object that `write_json` wrote.

    Raises:
        DataError: the file holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); the file was changed by something else: {advice}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a JSON object; the file was changed by something else: {advice}")
    return value


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read rows that `append_jsonl` wrote. A torn last line is dropped; it was never promised.

    Raises:
        DataError: a broken line anywhere else, with file and line.
    """
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):  # after the last newline: torn
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{number}: not a JSON object ({error}); the file was changed by something else"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: not a JSON object; the file was changed by something else")
        rows.append(row)
    return rows


def drop_torn(path: Path) -> None:
    """Drop a last line without an end, as a process killed while it appended leaves one."""
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        torn = file.read(1) != b"\n"
    if torn:
        rewrite_jsonl(path, lambda row: True)


def keep_whole_batches(path: Path, found: Sequence[Any], expected: Sequence[Any], batch: int) -> int:
    """Drop from the rows that an interrupted run appended those of its last, partial batch; return how many remain.

    Args:
        path: where they are.
        found: which row each one is.
        expected: which rows the finished file holds, in order.
        batch: rows that are appended at once.

    Raises:
        DataError: the rows are not the first of the expected ones.
    """
    if list(found) != list(expected[: len(found)]):
        raise DataError(f"{path}: not the expected rows in order; the file was changed by something else")
    whole = len(found) if len(found) == len(expected) else len(found) - len(found) % batch
    places = count()
    rewrite_jsonl(path, lambda _: next(places) < whole)
    return whole


def rewrite_jsonl(path: Path, keep: Callable[[dict[str, Any]], bool]) -> int:
    """Keep only the rows for which `keep` is true (and drop a torn last line); return how many rows remain."""
    if not path.exists():
        return 0
    rows = [row for row in read_jsonl(path) if keep(row)]
    content = "".join(jsonl_line(row) for row in rows).encode()
    if content != path.read_bytes():
        write_atomic(path, content)
    return len(rows)


@contextmanager
def locked(folder: Path, *, wait: bool = False, advice: str = "choose another folder") -> Iterator[int]:
    """Hold the folder's `LOCK` file. The kernel frees it when the process dies, so no lock is ever stale.

    Yields its descriptor: a process started with it (`pass_fds`) goes on holding the lock after this one has died.
    `advice` says what to do where the folder cannot be written.

    Raises:
        LockedError: another process holds it (with `wait=False`); the message names its host and pid.
        ConfigError: the folder cannot be written, or its `LOCK` is a link or a file of something else.
    """
    with writing(folder, advice):
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_lock(folder / "LOCK")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise LockedError(
                f"{folder} is in use by {holder}; wait for it, stop it, or choose another run name"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield file.fileno()
        finally:
            file.seek(0)
            file.truncate()


def _open_lock(path: Path) -> TextIO:
    """Open a lock file, which is emptied later; never a link, and never a file that something else wrote."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ConfigError(f"{path} is a link, and a lock is emptied when it is freed; remove the link") from None
    file = open(descriptor, "r+", encoding="utf-8", errors="replace")  # noqa: SIM115
    if not re.fullmatch(r"(pid \d+ on \S+\n)?", file.read(300)):
        file.close()
        raise ConfigError(f"{path} is no lock of this program; remove it, or choose another folder")
    return file


def lock_holder(folder: Path) -> str | None:
    """Return who holds the folder's `LOCK` ("pid 12 on host"), or None. Creates nothing and changes nothing.

    A holder writes its name into the file and empties it at the end; the name of one that was killed stays behind, so
    a name counts only while the kernel says that the file is locked.
    """
    try:
        with open(folder / "LOCK", encoding="utf-8") as file:
            holder = file.read().strip()
            if holder:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # freed again when the file is closed
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return holder
    return None


def remove_tree(path: Path, root: Path) -> None:
    """Delete a folder that lies strictly below `root`. The only place where anything is deleted recursively.

    Raises:
        ConfigError: `path` is not below `root` once links are followed, or is itself a link.
    """
    resolved, base = path.resolve(), root.resolve()
    if path.is_symlink() or base == resolved or base not in resolved.parents:
        raise ConfigError(f"refusing to delete {path}: it does not lie below {root}")
    shutil.rmtree(resolved)


def remove_temporary(folder: Path, *names: str) -> None:
    """Remove what interrupted writes of `names` left in `folder`. Call it only while holding the folder's lock.

    Args:
        folder: what is locked.
        names: of the files and folders that the lock's holder writes there; `*` and `?` as in a shell.
    """
    for path in sorted(folder.glob(".tmp-*-*")):
        written, _, pid = path.name.removeprefix(".tmp-").rpartition("-")
        if pid.isdecimal() and any(fnmatchcase(written, name) for name in names):
            remove_entry(path)


def remove_entry(path: Path) -> None:
    """Remove a file, a link, or a folder with all that it holds; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path, path.parent)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; the temporary files of running processes stay."""
    for left in path.parent.glob(f".tmp-{glob.escape(path.name)}-*"):
        pid = left.name.rpartition("-")[2]
        if not pid.isdecimal() or len(pid) > 9 or left.name != f".tmp-{path.name}-{pid}" or _runs(int(pid)):
            continue
        remove_entry(left)


def _runs(pid: int) -> bool:
    if pid == os.getpid():  # a temporary file of ours that we are about to write anew
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def writing(place: Path, advice: str) -> Iterator[None]:
    """Turn what the operating system refuses while `place` is written into an error that says what to do.

    Raises:
        UnswayedError: the disk is full.
        ConfigError: the path cannot be written for another reason.
    """
    shown = str(place) if len(str(place)) <= 300 else f"{str(place)[:150]} … {str(place)[-100:]}"
    if "\0" in str(place):
        raise ConfigError(f"{shown}: a path cannot hold a NUL character; {advice}")
    try:
        yield
    except OSError as error:
        raise refused(error, shown, advice) from error


def refused(error: OSError, place: str, advice: str, verb: str = "written") -> UnswayedError:
    """Return the error to raise where the operating system refused to read or write `place`."""
    if error.errno in FULL:
        return UnswayedError(f"{place}: the disk is full; make room, or {advice}")
    return ConfigError(f"{place}: cannot be {verb} ({error.strerror or error}); {advice}")
