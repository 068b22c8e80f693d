"""Say what was meant where a name is not known: the one place of "did you mean"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

VERSION = re.compile(r"(@\d+|/v\d+)$")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like `name`, judged by the last part of both without a version."""
    scored = [(_alike(_last(name), _last(one)), _alike(name, one), one) for one in known]
    last, _, near = max(scored, default=(0.0, 0.0, name))
    return near if last >= cutoff and near != name else None


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _last(name: str) -> str:
    plain = VERSION.sub("", name.casefold())
    return plain.replace(".", "/").rpartition("/")[2]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `; did you mean 'target'?` for a name that is nearly a known one, else nothing."""
    near = nearest(name, known, cutoff)
    return "" if near is None else f"; did you mean {near!r}?"


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is none of the known ones: what was meant, and what there is."""
    known = list(known)
    near = nearest(name, known)
    hint = f"; did you mean {near!r}? There are" if near else "; there are"
    return f"no {what} {name!r}{hint} {', '.join(known) or 'none'}"
