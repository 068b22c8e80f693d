"""The words and patterns by which replies are read, from `patterns.toml`."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any


@cache
def _read() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files(__package__) / "patterns.toml").read_text("utf-8"))


def patterns(section: str) -> dict[str, re.Pattern[str]]:
    """Return the patterns of a section by name."""
    found = {}
    for name, ways in _read()[section].items():
        text = ways if isinstance(ways, str) else "|".join(ways)
        for fragment, pattern in _read()["fragments"].items():
            text = text.replace(f"<{fragment}>", pattern)
        found[name] = re.compile(text)
    return found


def word_list(name: str) -> frozenset[str]:
    """Return a list of words by name."""
    return frozenset(_read()["words"][name].split())
