"""Say what was meant where a name is not known: the one place of "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like `name`, as a whole or by what follows its last `/` or `.`."""
    forms: dict[str, str] = {}
    for one in known:
        forms.setdefault(one.casefold(), one)
        forms.setdefault(one.casefold().replace(".", "/").rpartition("/")[2], one)
    near = difflib.get_close_matches(name.casefold(), forms, n=1, cutoff=cutoff)
    return forms[near[0]] if near and forms[near[0]] != name else None


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
