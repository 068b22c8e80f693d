"""Logs of anybody's labelling and training: which outcomes each prompt had before, as candidates, and after.

A row of the training log is

    {"prompt_id": "q1", "before": [0, 1], "candidates": [1, 0, 1, 1], "chosen": 2, "kept": true, "after": [1, 1]}

and one of an evaluation log {"prompt_id", "before", "after"}. An outcome is 1 where the behaviour shows, 0 where it
does not, a number between where a judge is unsure, and null where it is unscored: null enters no mean, and is counted.
`raw`, beside `candidates`, holds the outcomes of the same candidates before they were stripped, extracted or cut.
Columns that are not named here are ignored. What a prompt has too little of is counted by reason. `docs/theory.md`
states every convention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unswayed.core.errors import DataError
from unswayed.core.jsonl import kind
from unswayed.core.tables import scan_table
from unswayed.stats.clusters import Floats

Outcomes = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One pool of candidates for one prompt; `chosen` is the place of the label, None where there is none."""

    prompt_id: str
    before: Outcomes
    candidates: Outcomes
    chosen: int | None
    kept: bool
    after: Outcomes = ()
    raw: Outcomes = ()


@dataclass(frozen=True, slots=True)
class EvalRow:
    """The outcomes of one evaluation prompt before and after training."""

    prompt_id: str
    before: Outcomes
    after: Outcomes


@dataclass(frozen=True)
class Columns:
    """One number a prompt and column; NaN where a prompt has none.

    Attributes:
        ids: the prompts, in the order of the log.
        values: column name to numbers.
        left_out: prompts that no term can use, by reason.
        unscored: null outcomes by field of the log.
        notes: what a reader of the numbers must know.
    """

    ids: tuple[str, ...]
    values: Mapping[str, Floats]
    left_out: Mapping[str, int]
    unscored: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())


def read_training(path: Path) -> list[TrainRow]:
    """Return the rows of a training log.

    Raises:
        DataError: the file or any row cannot be used; all are listed by line.
    """
    return [
        TrainRow(
            str(row["prompt_id"]),
            _outcomes(row["before"]),
            _outcomes(row["candidates"]),
            row["chosen"],
            row["kept"],
            _outcomes(row.get("after")),
            _outcomes(row.get("raw")),
        )
        for row in _read(path, _training_problems)
    ]


def read_evaluation(path: Path) -> list[EvalRow]:
    """Return the rows of an evaluation log.

    Raises:
        DataError: as `read_training`.
    """
    return [
        EvalRow(str(row["prompt_id"]), _outcomes(row["before"]), _outcomes(row.get("after")))
        for row in _read(path, _evaluation_problems)
    ]


def training_columns(rows: Sequence[TrainRow]) -> Columns:
    """Return one line a prompt of the training log; rows of one prompt are averaged, each row counting the same.

    Columns: `before`, `candidates`, `chosen` (of a row without a label the mean of its candidates: nothing was
    selected), `kept` (share of the rows whose label was trained on), `label` (mean of kept × chosen over the rows),
    `after` and `raw` (NaN where there are none), `single` (every pool held one candidate).
    """
    found: dict[str, list[TrainRow]] = {}
    for row in rows:
        found.setdefault(row.prompt_id, []).append(row)
    lines: list[dict[str, float]] = []
    ids: list[str] = []
    left_out: Counter[str] = Counter()
    for prompt_id, own in found.items():
        line = _training_line(own)
        if isinstance(line, str):
            left_out[line] += 1
        else:
            ids.append(prompt_id)
            lines.append(line)
    names = ("before", "candidates", "chosen", "kept", "label", "after", "raw", "single")
    unscored = _unscored(rows, ("before", "candidates", "after", "raw"))
    return Columns(tuple(ids), _stacked(lines, names), dict(left_out), unscored, _notes(rows))


def evaluation_columns(rows: Sequence[EvalRow]) -> Columns:
    """Return one line a prompt of the evaluation log: `before` and `after`."""
    found: dict[str, list[EvalRow]] = {}
    for row in rows:
        found.setdefault(row.prompt_id, []).append(row)
    left_out: Counter[str] = Counter()
    lines, ids = [], []
    for prompt_id, own in found.items():
        before, after = _over(row.before for row in own), _over(row.after for row in own)
        if before is None or after is None:
            left_out[f"no scored outcome {'before' if before is None else 'after'} training"] += 1
            continue
        ids.append(prompt_id)
        lines.append({"before": before, "after": after})
    return Columns(
        tuple(ids), _stacked(lines, ("before", "after")), dict(left_out), _unscored(rows, ("before", "after"))
    )


def mean(outcomes: Sequence[float | None]) -> float | None:
    """Return the mean of the scored outcomes, or None where there are none."""
    scored = [value for value in outcomes if value is not None]
    return float(np.mean(scored)) if scored else None


def _training_line(rows: Sequence[TrainRow]) -> dict[str, float] | str:
    before = _over(row.before for row in rows)
    if before is None:
        return "no scored outcome before training"
    if all(mean(row.candidates) is None for row in rows):
        return "no scored candidate"
    pools = [pool for row in rows if (pool := _pool(row)) is not None]
    if not pools:
        return "the chosen candidate is unscored"
    candidates, chosen, kept = (float(np.mean([pool[place] for pool in pools])) for place in range(3))
    label = float(np.mean([chosen * kept for _, chosen, kept in pools]))
    after, raw = _over(row.after for row in rows), _over(row.raw for row in rows)
    return {
        "before": before,
        "candidates": candidates,
        "chosen": chosen,
        "kept": kept,
        "label": label,
        "after": np.nan if after is None else after,
        "raw": np.nan if raw is None else raw,
        "single": float(all(len(row.candidates) == 1 for row in rows)),
    }


def _pool(row: TrainRow) -> tuple[float, float, float] | None:
    """Return the candidates' mean, the label's outcome and whether it was kept; None where an outcome is missing."""
    rate = mean(row.candidates)
    if rate is None:
        return None
    if row.chosen is None:
        return rate, rate, 0.0
    label = row.candidates[row.chosen]
    return None if label is None else (rate, label, float(row.kept))


def _over(rows: Iterable[Outcomes]) -> float | None:
    return mean([mean(row) for row in rows])


def _stacked(lines: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, Floats]:
    return {name: np.array([line[name] for line in lines], dtype=np.float64) for name in names}


def _unscored(rows: Sequence[Any], fields: Sequence[str]) -> dict[str, int]:
    counts = {name: sum(value is None for row in rows for value in getattr(row, name)) for name in fields}
    return {name: count for name, count in counts.items() if count}


def _notes(rows: Sequence[TrainRow]) -> tuple[str, ...]:
    empty = sum(row.kept and row.chosen is None for row in rows)
    partly = len({row.prompt_id for row in rows if row.chosen is not None and row.candidates[row.chosen] is None})
    return tuple(
        text
        for count, text in (
            (empty, f"{empty} rows say kept and have no chosen candidate: there was no label to keep"),
            (partly, f"{partly} prompts have a label whose outcome is unscored; those rows enter no term"),
        )
        if count
    )


def _outcomes(values: Any) -> Outcomes:
    return tuple(None if value is None else float(value) for value in values or ())


def _read(path: Path, problems_of: Any) -> list[dict[str, Any]]:
    rows = scan_table(path)
    problems = [
        f"{place}: {problem}"
        for place, row in rows
        for problem in ([row] if isinstance(row, str) else problems_of(row))
    ]
    if problems:
        raise DataError(f"{path}: rows that cannot be used", problems)
    if not rows:
        raise DataError(f"{path}: has no rows")
    return [row for _, row in rows if isinstance(row, dict)]


def _training_problems(row: Mapping[str, Any]) -> list[str]:
    found = [*_id_problems(row), *_list_problems(row, ("before", "candidates"), ("after", "raw"))]
    if not isinstance(row.get("kept"), bool):
        found.append(f"kept: {_held(row, 'kept')}, where true or false belongs")
    chosen, candidates = row.get("chosen"), row.get("candidates")
    if "chosen" not in row or not (chosen is None or (isinstance(chosen, int) and not isinstance(chosen, bool))):
        found.append(f"chosen: {_held(row, 'chosen')}, where the place of a candidate or null belongs")
    elif chosen is not None and isinstance(candidates, list) and not 0 <= chosen < len(candidates):
        found.append(f"chosen: {chosen} is no place among {len(candidates)} candidates (the first is 0)")
    raw = row.get("raw")
    if isinstance(raw, list) and isinstance(candidates, list) and len(raw) != len(candidates):
        found.append(f"raw: {len(raw)} outcomes for {len(candidates)} candidates; one each, null where unscored")
    return found


def _evaluation_problems(row: Mapping[str, Any]) -> list[str]:
    return [*_id_problems(row), *_list_problems(row, ("before",), ("after",))]


def _id_problems(row: Mapping[str, Any]) -> list[str]:
    value = row.get("prompt_id")
    good = (isinstance(value, str) and value.strip()) or (isinstance(value, int) and not isinstance(value, bool))
    return [] if good else [f"prompt_id: {_held(row, 'prompt_id')}, where a name belongs"]


def _list_problems(row: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    found = []
    for name in (*needed, *optional):
        values = row.get(name)
        if values is None and name in optional:
            continue
        if not isinstance(values, list):
            found.append(f"{name}: {_held(row, name)}, where a list of outcomes belongs")
            continue
        wrong = [value for value in values if not _is_outcome(value)]
        if wrong:
            said = wrong[0] if isinstance(wrong[0], int | float) else kind(wrong[0])
            found.append(f"{name}: holds {said}; an outcome is 0, 1, a number between, or null")
    return found


def _is_outcome(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)


def _held(row: Mapping[str, Any], name: str) -> str:
    return kind(row[name]) if name in row else "missing"
