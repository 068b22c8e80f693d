"""Whether two mathematical answers are equal, by Math-Verify (in the worker; see `worker`)."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, Float, N, nsimplify

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
    same = verify(list(right), list(given), float_rounding=15, numeric_precision=30, timeout_seconds=None)
    return {"equal": bool(same) and not _differ(right[0], given[0])}


def _differ(right: Any, given: Any) -> bool:
    """Whether two numbers differ, however small both are."""
    if not all(isinstance(side, Expr) and side.is_number and side.is_finite for side in (right, given)):
        return False
    right, given = (nsimplify(side, rational=True) if side.has(Float) else side for side in (right, given))
    if right.is_Rational and given.is_Rational:
        return bool(right != given)
    return bool(abs(N(right - given, 30)) > abs(N(right, 30)) * Float("1e-20"))


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[Any, ...]:
    return tuple(parse(f"${text}$", list(_READ), fallback_mode="no_fallback", parsing_timeout=None))
