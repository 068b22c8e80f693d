"""What a metric is, and where all of them are found by name.

A value is None where the completion, or its twin's, is unscored; such samples are counted and never given a value. A
completion that a server failed to give has no value in any metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unswayed.core.errors import ConfigError
from unswayed.core.types import NO_ANSWER
from unswayed.evals.records import Record

Better = Literal["lower", "higher"]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Metric:
    """One rate or mean, written once and versioned: which samples it is over, and its value on each.

    Exactly one of `value`, `group_value` and `joint_value` is given: a metric is over completions; or over whole groups
    (facts, behaviours) where one number belongs to all completions of a group together; or over completions whose
    values can only be told from all of them, such as "the answer that is given most often".

    Attributes:
        name: unique; a key of `results.json`.
        version: counts up whenever values may change; part of the suite's identity.
        better: the direction in which a change is an improvement.
        conditions: the samples it is over; empty means all of them.
        value: the record and its twin's record (None without one) to a number from 0 to 1, or None.
        description: one sentence for tables and reports.
        paired: values are differences between a sample and its twin, so they may be as low as −1.
        group_value: all records of one group that are in `conditions`, to a number from 0 to 1, or None.
        joint_value: all records that are in `conditions`, to a number from 0 to 1, or None, for each in order.
    """

    name: str
    version: int
    better: Better
    conditions: tuple[str, ...]
    value: Callable[[Record, Record | None], float | None] | None
    description: str
    paired: bool = False
    group_value: Callable[[Sequence[Record]], float | None] | None = None
    joint_value: Callable[[Sequence[Record]], Sequence[float | None]] | None = None

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.value, self.group_value, self.joint_value)) != 1:
            raise ConfigError(f"metric {self.name}: needs one of value, group_value and joint_value, and only one")

    def over(self, records: Mapping[Key, Record]) -> list[Record]:
        """Return the records of the metric's conditions, in order."""
        return [record for record in records.values() if not self.conditions or record.condition in self.conditions]

    def values(self, records: Mapping[Key, Record]) -> dict[Key, float | None]:
        """Return the metric's value by record, or by (group, 0) for a metric over groups, in the records' order."""
        if self.value is not None:
            return {
                record.key: None
                if record.finish == "failed"
                else self.value(record, records.get((record.twin, record.draw)))
                for record in self.over(records)
            }
        if self.joint_value is not None:
            asked = self.over(records)
            return {record.key: value for record, value in zip(asked, self.joint_value(asked), strict=True)}
        groups: dict[str, list[Record]] = {}
        for record in self.over(records):
            groups.setdefault(record.group, []).append(record)
        assert self.group_value is not None
        return {(group, 0): self.group_value(members) for group, members in groups.items()}

    def bounds(self, records: Mapping[Key, Record]) -> dict[Key, tuple[float, float]]:
        """Return the least and the most that each value can be, whatever the unscored replies are worth."""
        if self.group_value is not None:
            low, high = (self.values({key: filled(one, worth) for key, one in records.items()}) for worth in (0.0, 1.0))
            return {key: _ordered(low[key], high[key]) for key in low}
        least = -1.0 if self.paired else 0.0
        return {key: (least, 1.0) if value is None else (value, value) for key, value in self.values(records).items()}

    def group(self, key: Key, records: Mapping[Key, Record]) -> str:
        """Return the cluster that the value at `key` belongs to."""
        return key[0] if self.group_value is not None else records[key].group


METRICS: dict[str, Metric] = {}


def register(*metrics: Metric) -> None:
    """Make metrics known by name.

    Raises:
        ConfigError: another metric has the name.
    """
    for entry in metrics:
        if METRICS.setdefault(entry.name, entry) is not entry:
            raise ConfigError(f"metric {entry.name!r} exists already; give yours another name")


def filled(record: Record, worth: float) -> Record:
    """Return the record with everything that is unscored about it set to `worth`."""
    value = worth if record.value is None else record.value
    return replace(record, value=value, reason=None, parts={"refused": worth, **record.parts})


def _ordered(one: float | None, other: float | None) -> tuple[float, float]:
    if one is None or other is None:
        return 0.0, 1.0
    return min(one, other), max(one, other)


def read(record: Record) -> bool:
    """Return whether the record gives an answer that could be read."""
    return record.value is not None and record.answer not in NO_ANSWER


def scored(record: Record, twin: Record | None) -> float | None:
    """Return the record's own score: the value of every plain accuracy."""
    return record.value
