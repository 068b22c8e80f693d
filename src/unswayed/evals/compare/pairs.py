"""One metric before and after, sample by sample, with what the unscored replies leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Key, Metric, filled, read
from unswayed.evals.records import Record
from unswayed.evals.results import Result
from unswayed.stats.clusters import Floats

Records = Mapping[Key, Record]


@dataclass(frozen=True, slots=True)
class Pair:
    """A value before and after.

    Attributes:
        before, after: None where a side is unscored.
        least, most: what the difference can be, whatever the unscored is worth.
        zero, one: the difference if all that is unscored, on either side, is worth the least, or the most.
    """

    before: float | None
    after: float | None
    least: float
    most: float
    zero: float
    one: float

    @property
    def scored(self) -> bool:
        """Whether both sides are."""
        return self.before is not None and self.after is not None


def paired_values(before: Result, after: Result, name: str, *, unread: bool = False) -> dict[Key, Pair]:
    """Return a metric's pairs by sample, or by group for a metric over groups.

    A reply that stands on both sides word for word is worth the same on both, even where nobody knows what.

    Args:
        before, after: two evaluations of the same samples.
        name: the metric.
        unread: leave out the values after whose reply, or its twin's, gives no answer that could be read. Such a reply
            follows no hint and agrees with nobody: it counts as it should in an accuracy, and as a gain elsewhere.
    """
    entry = metric(name)
    first, second = entry.values(before.records), entry.values(after.records)
    if entry.group_value is not None:
        return _of_groups(entry, before.records, after.records, first, second)
    low = -1.0 if entry.paired else 0.0
    pairs = {}
    for key, x in first.items():
        y = None if unread and not _answered(entry, after.records, key) else second[key]
        if x is None and y is None and _same_reply(entry, before.records, after.records, key):
            pairs[key] = Pair(x, y, 0.0, 0.0, 0.0, 0.0)
            continue
        least = (low if y is None else y) - (1.0 if x is None else x)
        most = (1.0 if y is None else y) - (low if x is None else x)
        zero, one = ((worth if y is None else y) - (worth if x is None else x) for worth in (0.0, 1.0))
        pairs[key] = Pair(x, y, least, most, zero, one)
    return pairs


def _of_groups(
    entry: Metric,
    before: Records,
    after: Records,
    first: Mapping[Key, float | None],
    second: Mapping[Key, float | None],
) -> dict[Key, Pair]:
    """Fill the unscored replies of both sides in each way; those that are the same on both sides always alike."""
    open_ = [key for key, one in before.items() if one.value is None and after[key].value is None]
    same = {key for key in open_ if before[key].text == after[key].text}
    sides: dict[tuple[float, float], dict[Key, float]] = {}
    for x in (0.0, 1.0):
        for y in (0.0, 1.0):
            old = entry.values({key: filled(one, x) for key, one in before.items()})
            new = entry.values({key: filled(one, x if key in same else y) for key, one in after.items()})
            sides[x, y] = {key: (new[key] or 0.0) - (old[key] or 0.0) for key in old}
    return {
        key: Pair(
            value, second[key], min(side[key] for side in sides.values()), max(side[key] for side in sides.values()),
            sides[0.0, 0.0][key], sides[1.0, 1.0][key],
        )
        for key, value in first.items()
    }  # fmt: skip


def _twin(records: Records, key: Key) -> Record | None:
    return records.get((records[key].twin, key[1]))


def _same_reply(entry: Metric, before: Records, after: Records, key: Key) -> bool:
    if entry.joint_value is not None or before[key].text != after[key].text:
        return False
    twins = _twin(before, key), _twin(after, key)
    return twins[0] is None or twins[1] is None or twins[0].text == twins[1].text


def _answered(entry: Metric, records: Records, key: Key) -> bool:
    twin = _twin(records, key) if entry.paired else None
    return read(records[key]) and (twin is None or read(twin))


def differences(sides: Sequence[Mapping[Key, Pair]], keys: Sequence[Key], which: str = "") -> Floats:
    """Return after minus before, [models, pairs]; `which` names a field of `Pair` in place of the difference."""
    rows = [
        [getattr(side[key], which) if which else (side[key].after or 0.0) - (side[key].before or 0.0) for key in keys]
        for side in sides
    ]
    return np.array(rows, dtype=np.float64).reshape(len(sides), -1)
