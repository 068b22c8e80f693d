"""Reasons to doubt a difference that its interval cannot show: what is missing, cut off, collapsed or unreadable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Key, read
from unswayed.evals.results import Result

UNSCORED_SHARE = 0.05
TRUNCATED_SHARE = 0.02
UNREAD_SHARE = 0.1
MISSING = frozenset({"unscored", "truncated"})
"""Flags under which a change counts only if it stands with every missing value set against it."""
COLLAPSED = frozenset({"degenerate", "unread"})
"""Flags under which nothing but a regression can be concluded."""
_CUT = ("truncated", "thinking not closed")


def arm_flags(before: Result, after: Result) -> tuple[str, ...]:
    """Return the flags of a whole comparison: an arm that collapsed, or answers that can no longer be read."""
    flags = []
    if after.degenerate:
        flags.append("degenerate")
    if before.degenerate:
        flags.append("degenerate before")
    if _read_share(before) - _read_share(after) > UNREAD_SHARE:
        flags.append("unread")
    return tuple(flags)


def metric_flags(before: Result, after: Result, name: str, *, pairs: int, missing: int) -> tuple[str, ...]:
    """Return the flags of one metric: of its `pairs` values, `missing` are unscored on either side."""
    if not missing:
        return ()
    flags = []
    if missing > UNSCORED_SHARE * pairs:
        flags.append("unscored")
    if any(_cut_share(side, name) > TRUNCATED_SHARE for side in (before, after)):
        flags.append("truncated")
    return (*flags, f"{missing} of {pairs} pairs missing")


def worst_case(pairs: Sequence[tuple[float | None, float | None]], name: str, *, against_rise: bool) -> list[float]:
    """Return the differences with every missing value set to what speaks most against a rise, or against a fall."""
    low, high = (-1.0, 1.0) if metric(name).paired else (0.0, 1.0)
    first, second = (high, low) if against_rise else (low, high)
    return [(second if y is None else y) - (first if x is None else x) for x, y in pairs]


def unread_as_missing(before: Result, after: Result, name: str) -> list[tuple[float | None, float | None]]:
    """Return a metric's values with those after left out whose reply, or its twin's, gives no answer one could read.

    Such a reply follows no hint and agrees with nobody: it counts as it should in an accuracy, and as a gain elsewhere.
    """
    entry = metric(name)
    pairs = paired_values(before, after, name)
    if entry.group_value is not None:
        return list(pairs.values())

    def answers(key: Key) -> bool:
        record = after.records[key]
        twin = after.records.get((record.twin, record.draw)) if entry.paired else None
        return read(record) and (twin is None or read(twin))

    return [(x, y if answers(key) else None) for key, (x, y) in pairs.items()]


def paired_values(before: Result, after: Result, name: str) -> Mapping[Key, tuple[float | None, float | None]]:
    """Return a metric's values before and after by sample, or by group for a metric over groups."""
    first, second = metric(name).values(before.records), metric(name).values(after.records)
    return {key: (value, second[key]) for key, value in first.items()}


def _read_share(result: Result) -> float:
    values = metric("parse_rate").values(result.records).values()
    return sum(value or 0.0 for value in values) / len(values) if values else 0.0


def _cut_share(result: Result, name: str) -> float:
    asked = metric(name).over(result.records)
    return sum(record.reason in _CUT for record in asked) / len(asked) if asked else 0.0
