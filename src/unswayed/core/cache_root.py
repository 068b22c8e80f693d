"""Find the folder for files that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the cache folder: `UNSWAYED_CACHE`, or `unswayed` in the user's cache folder. It may not exist yet."""
    if own := os.environ.get("UNSWAYED_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser().absolute() / "unswayed"
