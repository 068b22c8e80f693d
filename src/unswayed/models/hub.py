"""Fetch a model from the Hugging Face hub at one commit: text files and safetensors, nothing that can run."""

from __future__ import annotations

import logging
import re
from fnmatch import fnmatch
from pathlib import Path

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.models.cache import FULL
from unswayed.models.folder import PICKLED, conversion_advice

log = logging.getLogger(__name__)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = ("*.json", "*.txt", "*.jinja", "*.model", "*.safetensors")
# Copies of the weights for other programs, in subfolders or beside the real ones.
UNWANTED = ("*/*", "consolidated*")
CODE = ("*.py",)


def fetch_snapshot(id: str, revision: str | None, *, code: bool, offline: bool) -> Path:
    """Return the local snapshot of a hub model; its folder name is the commit.

    Args:
        id: `organisation/name`.
        revision: commit, tag or branch; None is the default branch, as it is now.
        code: fetch Python files too.
        offline: use only what is in the hub's own cache.

    Raises:
        ConfigError: not found, not reachable, not allowed, or only in a format that can run code.
    """
    patterns = [*WANTED, *(CODE if code else ())]
    if offline:
        return _local(id, revision, patterns, "nothing may be downloaded")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The base class of the HTTP library that the hub's client uses, whichever that is in its version.
    network_error: type[Exception] = HfHubHTTPError.__mro__[1]
    try:
        info = HfApi().model_info(id, revision=revision)
    except HfHubHTTPError as error:
        raise _refused(id, revision, error) from error
    except (network_error, OfflineModeIsEnabled) as error:
        why = f"the hub does not answer ({type(error).__name__})"
        found = _local(id, revision, patterns, why)
        log.warning("%s: %s; using commit %s, which is on this machine", id, why, found.name)
        return found
    files = [sibling.rfilename for sibling in info.siblings or ()]
    if not any(fnmatch(file, "model*.safetensors") for file in files):
        pickled = [file for file in files if any(fnmatch(file, pattern) for pattern in PICKLED)]
        if pickled:
            raise ConfigError(f"{id}: its weights are only in {pickled[0]}; {conversion_advice(id)}")
        raise ConfigError(f"{id}: has no safetensors weights at commit {info.sha}")
    try:
        # By the name that was asked for, not by `info.sha`: so the hub's cache can answer to that name offline.
        return Path(snapshot_download(id, revision=revision, allow_patterns=patterns, ignore_patterns=list(UNWANTED)))
    except (network_error, OSError) as error:
        raise _refused(id, revision, error) from error


def _local(id: str, revision: str | None, patterns: list[str], why: str) -> Path:
    """Return what the hub's own cache holds of a model."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                id, revision=revision, local_files_only=True, allow_patterns=patterns, ignore_patterns=list(UNWANTED)
            )
        )
    except LocalEntryNotFoundError as error:
        at = f" at {revision}" if revision else ""
        raise ConfigError(
            f"{id}: not whole on this machine{at}, and {why}. Fetch it where the hub can be reached "
            f"(`unswayed models fetch {id}`) and copy the hub's cache (HF_HOME) here, or give a model folder"
        ) from error


def _refused(id: str, revision: str | None, error: Exception) -> UnswayedError:
    """Say what a failure means, and what to do."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, OSError) and error.errno in FULL:
        return UnswayedError(f"{id}: the disk is full; make room, or set HF_HOME to a folder on a bigger disk")
    if isinstance(error, GatedRepoError):
        why = "is gated: accept its terms on its page, and set HF_TOKEN"
    elif isinstance(error, RevisionNotFoundError):
        why = f"has no revision {revision!r}"
    elif isinstance(error, RepositoryNotFoundError):
        why = "is neither a folder here nor a model on the hub; if it is private, set HF_TOKEN"
    else:
        status = getattr(getattr(error, "response", None), "status_code", None)
        code = f", HTTP {status}" if status else ""
        why = f"could not be fetched ({type(error).__name__}{code}); run the command again to go on"
    return ConfigError(f"{id}: {why}")
