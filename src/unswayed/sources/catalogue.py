"""Public evaluation sets by name: where their bytes are at home, which bytes are meant, and where they lie here.

`catalogue.toml` is the list. A set is taken from the first place that has it:

    the file that was given                 any bytes; the result records which
    UNSWAYED_DATA/<path>                    must be the pinned bytes
    CACHE/sources/<name>/<revision>/…       what was downloaded before
    its home                                unless UNSWAYED_OFFLINE or HF_HUB_OFFLINE is set
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file, hash_files
from unswayed.core.suggest import no_such
from unswayed.core.tables import read_table
from unswayed.sources.download import download
from unswayed.sources.source import Source, how_to_get


@cache
def sources() -> tuple[Source, ...]:
    """Return every set, sorted by name."""
    listed = tomllib.loads((files("unswayed.sources") / "catalogue.toml").read_text(encoding="utf-8"))
    found = []
    for home in listed["home"]:
        shared = {"home": home["at"], "revision": home.get("revision"), "licence": home["licence"]}
        for entry in home["source"]:
            lists = {key: tuple(entry[key]) for key in ("members", "columns") if key in entry}
            found.append(Source(**{**shared, **entry, **lists}))
    return tuple(sorted(found, key=lambda one: one.name))


def source(name: str) -> Source:
    """Return a set by name; the last part is enough where only one set ends with it (`gsm8k`).

    Raises:
        ConfigError: there is none, or more than one.
    """
    known = {one.name: one for one in sources()}
    ends = [one for one in sources() if one.name.endswith(f"/{name}")]
    if name in known or len(ends) == 1:
        return known.get(name) or ends[0]
    if ends:
        raise ConfigError(f"data source {name!r} may be {' or '.join(one.name for one in ends)}; give the whole name")
    raise ConfigError(no_such("data source", name, [one.name for one in sources()]))


def offline() -> bool:
    """Whether the environment forbids downloads."""
    names = ("UNSWAYED_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").strip().lower() not in {"", "0", "false", "no", "off"} for name in names)


def under_data(one: Source) -> Path | None:
    """Return where `UNSWAYED_DATA` has the set, or None where it has not.

    Raises:
        ConfigError: the variable names no folder.
    """
    if not (root := os.environ.get("UNSWAYED_DATA")):
        return None
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"UNSWAYED_DATA is {root}, which is no folder; unset it, or name the folder with the sets")
    path = folder / one.path
    return path if path.exists() else None


def in_cache(one: Source) -> Path | None:
    """Return where the cache has the set, or None."""
    folder = cache_root() / "sources" / one.name.replace("/", ".")
    found = sorted(folder.glob(f"{one.revision or '*'}/{Path(one.path).name}"))
    return found[0] if found else None


def locate(name: str, file: str | Path | None = None) -> Path:
    """Return where the set's bytes lie on this machine, downloaded first where they are nowhere yet.

    Args:
        name: one of `sources()`.
        file: a local copy. It may differ from the pinned bytes; `read_source` records what it is.

    Raises:
        ConfigError: no such set, or it is nowhere and may not or cannot be downloaded; the message says how to get it.
        DataError: a copy that is not the one that is pinned.
    """
    one = source(name)
    if file is not None:
        path = Path(file).expanduser()
        if not path.exists():
            raise ConfigError(f"{one.name}: {path} does not exist; check the path")
        return path
    path = under_data(one) or in_cache(one) or _download(one)
    problem = check(one, path)
    if problem:
        raise DataError(
            f"{one.name}: {path} is not the pinned copy ({problem}). Delete it and fetch it anew, or give the file "
            "itself where other bytes are meant"
        )
    return path


def read_source(name: str, file: str | Path | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a set, and its identity.

    Args:
        name: one of `sources()`.
        file: a local copy, as for `locate`.

    Returns:
        The rows in order, and what belongs into a suite's `arguments`: `source`, `home`, `revision` (None where the
        bytes are vouched for by no revision), `sha256` of the bytes that were read, `licence`.

    Raises:
        ConfigError, DataError: as `locate`; or rows that cannot be read.
    """
    one = source(name)
    path = locate(name, file)
    digest = digest_of(one, path)
    cached = in_cache(one)
    known = digest == one.sha256 or (file is None and cached == path)
    revision = None if not known else one.revision or path.parent.name
    identity = {
        "source": one.name,
        "home": one.home,
        "revision": revision,
        "sha256": digest,
        "licence": one.licence,
    }
    return read_rows(one, path), identity


def digest_of(one: Source, path: Path) -> str:
    """Return the SHA-256 of a copy of the set.

    Raises:
        DataError: a folder that lacks one of its files.
    """
    if not one.members or path.is_file():
        if path.is_dir():
            raise DataError(f"{one.name}: {path} is a folder; name the file in it")
        return hash_file(path)
    if lacking := [member for member in one.members if not (path / member).is_file()]:
        raise DataError(f"{one.name}: {path} lacks {len(lacking)} of {len(one.members)} files", lacking)
    return hash_files(path, one.members)


def check(one: Source, path: Path) -> str:
    """Return how a copy differs from what is pinned; "" where it does not, or nothing is pinned."""
    if one.sha256 is not None:
        digest = digest_of(one, path)
        return "" if digest == one.sha256 else f"its SHA-256 begins {digest[:12]}, not {one.sha256[:12]}"
    if one.rows is not None and (rows := len(read_rows(one, path))) != one.rows:
        return f"it has {rows} rows, not {one.rows}"
    return ""


def read_rows(one: Source, path: Path) -> list[dict[str, Any]]:
    """Return the rows of a copy. Those of a folder gain `split` and `subject`, from `split/subject_split.csv`."""
    if path.is_file():  # a file given for a folder has column names of its own
        return read_table(path, () if one.members else one.columns)
    rows = []
    for member in one.members:
        split = Path(member).parent.name
        facts = {"split": split, "subject": Path(member).stem.removesuffix(f"_{split}")}
        rows += [{**row, **facts} for row in read_table(path / member, one.columns)]
    return rows


def _download(one: Source) -> Path:
    if offline():
        raise ConfigError(f"{one.name}: not on this machine, and nothing may be downloaded; {how_to_get(one)}")
    return download(one)


def describe(one: Source) -> dict[str, Any]:
    """Return what is known about a set as plain JSON types, and its `state` here: a path, a problem, or not here."""
    found = under_data(one) or in_cache(one)
    if found is None:
        state = "not here"
    else:
        try:
            problem = check(one, found)
        except DataError as error:
            problem = str(error).splitlines()[0]
        state = f"not the pinned copy: {found} ({problem})" if problem else str(found)
    return {
        "name": one.name,
        "home": one.home,
        "revision": one.revision,
        "url": one.url,
        "rows": one.rows,
        "sha256": one.sha256,
        "licence": one.licence,
        "flags": list(one.flags),
        "note": one.note,
        "state": state,
    }
