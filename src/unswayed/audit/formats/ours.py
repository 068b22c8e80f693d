"""Folders that `unswayed eval` wrote: each plain metric of a suite is a behaviour."""

from __future__ import annotations

from pathlib import Path

from unswayed.audit.reply import Reply
from unswayed.core.types import NO_ANSWER, REFUSED, Outcome
from unswayed.evals.metrics import metric
from unswayed.evals.records import Record
from unswayed.evals.results import Result, evaluations

_OURS = frozenset({"empty", "echo", "repetition", "thinking not closed"})
"""Reasons for which a reply holds nothing to read."""


def read_folder(folder: Path) -> tuple[list[Reply], list[Reply], bool]:
    """Return the replies behind primary metrics, those behind counter metrics, and whether texts may be harmful.

    A metric where lower is better is the trait's rate; where higher is better, one minus it. Metrics over groups, and
    differences between a sample and its twin, are not rates of replies: `unswayed compare` has them.
    """
    main: list[Reply] = []
    side: list[Reply] = []
    sensitive = False
    for path in evaluations(folder):
        result = Result.load(path)
        sensitive |= result.sensitive
        for name in result.metrics:
            entry, role = metric(name), result.role(name)
            if role == "health" or entry.paired or entry.group_value is not None:
                continue
            (main if role == "primary" else side).extend(_replies(result, name))
    return main, side, sensitive


def _replies(result: Result, name: str) -> list[Reply]:
    entry = metric(name)
    worse = 1.0 if entry.better == "lower" else 0.0
    title = name if entry.better == "lower" else f"not {name}"
    found = []
    for key, value in entry.values(result.records).items():
        record = result.records[key]
        outcome, why = _outcome(record, value, worse)
        found.append(
            Reply(
                id=record.id,
                draw=record.draw,
                messages=record.messages,
                text=record.text,
                finish=record.finish,
                behaviour=f"{result.title}: {title}",
                group=record.group,
                slice=record.slice,
                condition="",
                outcome=outcome,
                why=why,
                given=True,
                answer=record.answer,
                row={key: text for key, text in (("target", record.target), ("hinted", record.hinted)) if text},
            )
        )
    return found


def _outcome(record: Record, value: float | None, worse: float) -> tuple[Outcome | None, str]:
    if record.finish == "failed":
        return None, str(record.reason)
    if record.outcome is not None and worse == 1.0 and value in {None, float(record.outcome == "trait")}:
        return record.outcome, record.reason or "the suite"
    if value is None:
        broken = record.reason in _OURS or record.broken
        reason = str(record.reason or "its twin is unscored")
        return ("incoherent" if broken else None if reason.startswith(("judge", "its")) else "unreadable"), reason
    if record.answer == REFUSED:
        return "refused", "the suite"
    if record.answer in NO_ANSWER and worse == 0.0:
        return "unreadable", "the suite"
    return ("trait" if abs(value - worse) < 0.5 else "aligned"), "the suite"
