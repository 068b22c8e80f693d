"""Whether two mathematical answers are equal, by Math-Verify (in the worker; see `worker`)."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
# The whole text is the answer, so only LaTeX is read, never a number picked out of the middle of something.
_READ = (LatexExtractionConfig(boxed_match_priority=-1),)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Return `{"equal": bool}` for `right` and `given`, both LaTeX without delimiters, or a reason."""
    right = _parsed(request["right"])
    if not right:
        return {"reason": "the right answer cannot be parsed"}
    given = _parsed(request["given"])
    if not given:
        return {"equal": False}
    return {"equal": bool(verify(list(right), list(given), timeout_seconds=None))}


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[Any, ...]:
    return tuple(parse(f"${text}$", list(_READ), fallback_mode="no_fallback", parsing_timeout=None))
