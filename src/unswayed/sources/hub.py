"""Data of the hub by name: one split of a dataset as a JSONL file in the cache, under the commit that it has.

`hub:OWNER/NAME[@REVISION][:SPLIT]`; the split is `train` where none is named. Without the network, a copy in the cache
is taken: that of the commit, or the newest where no revision is named.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import jsonl_line, remove_leftovers, write_atomic, write_json, writing
from unswayed.core.printable import printable
from unswayed.sources.catalogue import offline
from unswayed.sources.download import CACHE_ADVICE, MOST_BYTES
from unswayed.sources.source import HUB

log = logging.getLogger(__name__)
_NAME = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[^\s:@]+))?(:(?P<split>[A-Za-z0-9][\w.-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub(name: str) -> bool:
    """Whether a name is one of the hub."""
    return name.startswith("hub:")


def cached(name: str) -> list[Path]:
    """Return every copy in the cache that a name of the hub may mean, the newest first."""
    if (match := _NAME.fullmatch(name)) is None:
        return []
    commit = match["revision"] if _COMMIT.fullmatch(match["revision"] or "") else "*"
    found = _folder(match["name"]).glob(f"{commit}/{match['split'] or 'train'}.jsonl")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def hub_file(name: str) -> Path:
    """Return the JSONL file that holds the rows, downloaded first where the cache lacks them.

    Raises:
        ConfigError: not a name of the hub; or the hub cannot be reached, or does not give it, with what to do.
        DataError: values that JSON cannot hold.
    """
    if (match := _NAME.fullmatch(name)) is None:
        raise ConfigError(f"{name}: not a name of the hub; write hub:OWNER/NAME[@REVISION][:SPLIT]")
    repo, revision, split = match["name"], match["revision"], match["split"] or "train"
    pinned = bool(_COMMIT.fullmatch(revision or ""))
    if (found := cached(name)) and (pinned or (offline() and revision is None)):
        return found[0]
    advice = (
        f"run `unswayed data fetch {name}` where the network is, with the same UNSWAYED_CACHE, or save the rows there "
        "as JSONL, CSV or Parquet, and name that file"
    )
    if offline():
        known = "" if pinned or revision is None else f" ({revision!r} is no commit, so no copy is known to be it)"
        raise ConfigError(f"{name}: not on this machine{known}, and nothing may be downloaded; {advice}")
    commit, rows = _download(repo, revision, split, advice)
    path = _folder(repo) / commit / f"{split}.jsonl"
    if path.exists():
        return path
    try:
        content = "".join(map(jsonl_line, rows)).encode()
    except (TypeError, ValueError) as error:
        why = printable(str(error), newlines=False)
        raise DataError(f"{name}: holds values that JSON cannot hold ({why}); save the columns that count") from error
    with writing(path, CACHE_ADVICE):
        manifest = path.with_suffix(".manifest.json")
        for file in (path, manifest):
            remove_leftovers(file)
        entry = {"file": path.name, "rows": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
        # The manifest says where the rows come from, so that sets for evaluation only are recognised.
        write_json(manifest, {"sources": [{"source": f"{HUB}{repo}", "revision": commit}], "files": {"train": entry}})
        write_atomic(path, content)
    return path


def _folder(repo: str) -> Path:
    return cache_root() / "hub" / repo.replace("/", "--")


def _download(repo: str, revision: str | None, split: str, advice: str) -> tuple[str, list[dict[str, object]]]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    # The base class of the HTTP library that the hub's client uses, whichever that is in its version.
    network_error: type[Exception] = HfHubHTTPError.__mro__[1]
    try:
        info = HfApi().dataset_info(repo, revision=revision, files_metadata=True)
        size = sum(file.size or 0 for file in info.siblings or ())
        if size > MOST_BYTES:
            raise ConfigError(f"hub:{repo} has {size:,} bytes, more than the {MOST_BYTES:,} that are fetched; {advice}")
        log.info(f"fetching {repo} from the hub, split {split}")
        return str(info.sha), load_dataset(repo, revision=info.sha, split=split).to_list()
    except ConfigError:
        raise
    except (network_error, DatasetsError, OSError, ValueError, RuntimeError, LookupError) as error:
        why = printable(f"{type(error).__name__}: {error}".splitlines()[0][:300], newlines=False)
        raise ConfigError(f"hub:{repo}: the hub does not give split {split!r} ({why}); {advice}") from error
