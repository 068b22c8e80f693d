"""Reasons to doubt a difference that its interval cannot show: what is missing, cut off, collapsed or unreadable.

Each looks at what differs between both sides: a fault that the baseline has as well is none of the training. A caution
stands beside a verdict; those in `TURNING` could turn its sign, and replace it.
"""

from __future__ import annotations

from unswayed.evals.metrics import metric
from unswayed.evals.results import Result

UNSCORED_SHARE = 0.05
TRUNCATED_SHARE = 0.02
UNREAD_SHARE = 0.1
BROKEN_SHARE = 0.1
TURNING = frozenset({"degenerate", "unread", "within the noise floor"})
"""Flags under which nothing but a loss can be concluded."""
FEW = "few clusters"
"""The flag under which nothing can be concluded."""
_CUT = ("truncated", "thinking not closed")


def arm_flags(before: Result, after: Result) -> tuple[str, ...]:
    """Return the flags of a whole comparison: an arm that collapsed, or answers that can no longer be read."""
    flags = []
    if set(after.degenerate) - set(before.degenerate) or _broken_share(after) - _broken_share(before) > BROKEN_SHARE:
        flags.append("degenerate")
    elif after.degenerate:
        flags.append("degenerate on both sides")
    if set(before.degenerate) - set(after.degenerate):
        flags.append("degenerate before")
    if _read_share(before) - _read_share(after) > UNREAD_SHARE:
        flags.append("unread")
    return tuple(flags)


def metric_flags(before: Result, after: Result, name: str, *, pairs: int, missing: int) -> tuple[str, ...]:
    """Return the flags of one metric: of its `pairs` values, `missing` are unscored on either side."""
    flags = []
    shares = [_unscored_share(side, name) for side in (before, after)]
    if abs(shares[1] - shares[0]) > UNSCORED_SHARE:
        flags.append("unscored")
    cut = [_cut_share(side, name) for side in (before, after)]
    if abs(cut[1] - cut[0]) > TRUNCATED_SHARE:
        flags.append("truncated")
    return (*flags, f"{missing} of {pairs} pairs missing") if missing else tuple(flags)


def _unscored_share(result: Result, name: str) -> float:
    values = list(metric(name).values(result.records).values())
    return sum(value is None for value in values) / len(values) if values else 0.0


def _read_share(result: Result) -> float:
    values = metric("parse_rate").values(result.records).values()
    return sum(value or 0.0 for value in values) / len(values) if values else 0.0


def _broken_share(result: Result) -> float:
    return sum(bool(record.broken) for record in result.records.values()) / max(len(result.records), 1)


def _cut_share(result: Result, name: str) -> float:
    asked = metric(name).over(result.records)
    return sum(record.reason in _CUT for record in asked) / len(asked) if asked else 0.0
