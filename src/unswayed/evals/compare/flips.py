"""Which samples changed sides, in both directions, and a random handful of them to read.

A fixed sample moved in the better direction on some metric, a broken one in the worse; a sample may be both, on two
metrics. What is shown is drawn by a seed from all of them: nobody picked it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unswayed.core.hashing import hash_text
from unswayed.core.seeding import rng
from unswayed.core.types import Message
from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Key, Metric
from unswayed.evals.records import Record
from unswayed.evals.results import Result

_PLAIN = re.compile(r"[\w.:/@+#-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Flip:
    """One sample that moved. `metrics` names those on which it did, `arm` which of the models after training."""

    arm: int
    metrics: tuple[str, ...]
    before: Record
    after: Record


@dataclass(frozen=True, slots=True)
class Drawn:
    """Flips in one direction: `shown` of `pool`, drawn at random."""

    shown: tuple[Flip, ...]
    pool: int


def flips(before: Result, afters: Sequence[Result], names: Sequence[str], *, fixed: bool) -> list[Flip]:
    """Return every sample that moved in one direction on one of the metrics, ordered by model and sample.

    Args:
        names: metrics to look at. One over groups gives the samples of a group that changed its value.
        fixed: those that moved in the better direction; else those in the worse.
    """
    found: list[Flip] = []
    for arm, after in enumerate(afters):
        moved: dict[Key, list[str]] = {}
        for name in names:
            for key in _moved(metric(name), before, after, fixed=fixed):
                moved.setdefault(key, []).append(name)
        found += [Flip(arm, tuple(moved[key]), before.records[key], after.records[key]) for key in sorted(moved)]
    return found


def draw_flips(found: Sequence[Flip], *, count: int, seed: int, address: str) -> Drawn:
    """Return up to `count` of them, the same for the same seed and address."""
    chosen = sorted(rng(seed, f"compare/{address}").permutation(len(found))[:count])
    return Drawn(tuple(found[index] for index in chosen), len(found))


def redacted(flip: Flip) -> Flip:
    """Return the flip with every text that came from a prompt or a model replaced by its SHA-256."""
    return replace(flip, before=redact(flip.before), after=redact(flip.after))


def redact(record: Record) -> Record:
    """Return the record with every text that came from a prompt or a model replaced by its SHA-256."""
    return replace(
        record,
        id=record.id if _PLAIN.fullmatch(record.id) else _mark(record.id),
        group=_mark(record.group),
        messages=tuple(Message(message.role, _mark(message.content)) for message in record.messages),
        text=_mark(record.text),
        target="",
        hinted="",
        twin="",
        answer=None,
        choices=(),
        reason=None if record.reason is None else "not shown",
    )


def _mark(text: str) -> str:
    return f"[not shown; SHA-256 {hash_text(text)}]"


def _moved(entry: Metric, before: Result, after: Result, *, fixed: bool) -> list[Key]:
    """Return the samples that moved on a metric; of a group that moved as a whole, those whose own score changed."""
    up = 1 if (entry.better == "higher") == fixed else -1
    second = entry.values(after.records)
    moved = [
        key
        for key, value in entry.values(before.records).items()
        if value is not None and (other := second[key]) is not None and up * (other - value) > 0
    ]
    if entry.group_value is None:
        return moved
    groups = {group for group, _ in moved}
    return [
        record.key
        for record in entry.over(before.records)
        if record.group in groups and record.value != after.records[record.key].value
    ]
