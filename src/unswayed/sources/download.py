"""Fetch a public set from its home into the cache: checked before it gets its name, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import fsync_path, jsonl_line, remove_leftovers, remove_tree, write_atomic, writing
from unswayed.core.hashing import hash_json
from unswayed.sources.source import HUB, Source, how_to_get

log = logging.getLogger(__name__)
TIMEOUT = 60.0
"""Seconds without a byte after which a server counts as silent."""
MOST_BYTES, MOST_SECONDS = 2**30, 1800.0
"""What one file may have, and how long it may take, whatever the server sends."""
CACHE_ADVICE = "set UNSWAYED_CACHE to a folder elsewhere"


def download(one: Source) -> Path:
    """Download a set and return where it lies in the cache.

    Raises:
        ConfigError: its home cannot be reached, or does not give it; with what to do.
        DataError: the bytes are not those that are pinned; nothing is kept.
        UnswayedError: the disk is full.
    """
    if not one.url:
        raise ConfigError(f"{one.name}: its home has no such file to download; {how_to_get(one)}")
    log.info("fetching %s from %s (licence: %s)", one.name, one.home, one.licence)
    revision, contents = _from_hub(one) if one.home.startswith(HUB) else _from_repository(one)
    path = cache_root() / "sources" / one.name.replace("/", ".") / revision / Path(one.path).name
    with writing(path, CACHE_ADVICE):
        remove_leftovers(path)
        if one.members:
            _write_folder(path, contents)
        else:
            write_atomic(path, contents[""])
    return path


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder under another name and rename it when it is whole."""
    work = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        for member, content in contents.items():
            write_atomic(work / member, content)
        if not path.exists():  # another process may have been faster; its bytes were checked against the same pin
            os.rename(work, path)
            fsync_path(path.parent)
    finally:
        if work.exists():
            remove_tree(work, path.parent)


def _from_repository(one: Source) -> tuple[str, dict[str, bytes]]:
    """Return the revision of a set in a public repository and its files by name, checked against the pinned hash."""
    if one.members:
        contents = {member: _get(one, f"{one.url}/{member}") for member in one.members}
        digest = hash_json({member: hashlib.sha256(content).hexdigest() for member, content in contents.items()})
    else:
        contents = {"": _get(one, one.url)}
        digest = hashlib.sha256(contents[""]).hexdigest()
    if one.sha256 is not None and digest != one.sha256:
        raise DataError(
            f"{one.name}: {one.url} gave other bytes than are pinned (SHA-256 {digest[:12]}…, not "
            f"{one.sha256[:12]}…); nothing was kept. Its home was changed, or something on the way changes it"
        )
    return one.revision or "unpinned", contents


def _get(one: Source, url: str) -> bytes:
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    # The base class of the HTTP library that the hub's client uses, whichever that is in its version.
    network_error: type[Exception] = HfHubHTTPError.__mro__[1]
    end, content = time.monotonic() + MOST_SECONDS, bytearray()
    try:
        with get_session().stream("GET", url, follow_redirects=True, timeout=TIMEOUT) as answer:
            if answer.status_code != 200:
                raise ConfigError(f"{one.name}: {url} answered HTTP {answer.status_code}; {how_to_get(one)}")
            for part in answer.iter_bytes():
                content += part
                if len(content) > MOST_BYTES or time.monotonic() > end:
                    limit = f"more than {MOST_BYTES:,} bytes" if len(content) > MOST_BYTES else "no end in time"
                    raise ConfigError(
                        f"{one.name}: {url} gave {limit} ({len(content):,} bytes in "
                        f"{MOST_SECONDS - end + time.monotonic():.0f} s); nothing was kept; {how_to_get(one)}"
                    )
    except network_error as error:
        raise ConfigError(f"{one.name}: {url} does not answer ({type(error).__name__}); {how_to_get(one)}") from error
    return bytes(content)


def _from_hub(one: Source) -> tuple[str, dict[str, bytes]]:
    """Return the commit of a hub dataset, as pinned or as it is now, and its rows as JSONL, split after split."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    name = one.home.removeprefix(HUB)
    network_error: type[Exception] = HfHubHTTPError.__mro__[1]
    try:
        revision = str(HfApi().dataset_info(name, revision=one.revision).sha)
        splits = load_dataset(name, one.config, revision=revision)
    except (network_error, DatasetNotFoundError, OSError, ValueError) as error:
        raise ConfigError(
            f"{one.name}: the hub does not give {name} ({type(error).__name__}); {how_to_get(one)}"
        ) from error
    rows = [{**row, "split": split} for split in sorted(splits) for row in splits[split].to_list()]
    return revision, {"": "".join(map(jsonl_line, rows)).encode()}
