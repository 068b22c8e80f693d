"""From the rows of a preflight to the columns of the decomposition: expected labels, as they are and counterfactually.

A labeller that chooses the best of k from exchangeable draws is replaced by its exact mean over all k-subsets of the
pool, so the estimate has no noise of the choice, and any other k, score or filter is read off the same pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unswayed.audit.theory.outcome_log import Columns, mean
from unswayed.audit.theory.selection import Pool
from unswayed.labels.estimators import selection_weights

Row = dict[str, Any]
Score = Callable[[Row], float | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """How labels are chosen: the best of `k` by `score`; with k None, the label is the one that was logged."""

    k: int | None
    sign: float = 1.0
    score: str = "score"
    filtered: bool = True


def training(rows: Sequence[Row], rule: Rule, before: str = "before") -> Columns:
    """Return the columns of the training prompts under a rule; see `outcome_log.training_columns`.

    Args:
        rows: of the set `train`. rule: how labels are chosen. before: the replies that the labels are compared with:
        `before`, drawn as the model is judged, or `draws`, from
            the whole policy.
    """
    lines, ids, groups = [], [], []
    left_out: Counter[str] = Counter()
    for row in rows:
        line = _line({**row, "before": row.get(before, ())}, rule)
        if isinstance(line, str):
            left_out[line] += 1
            continue
        lines.append(line)
        ids.append(str(row["prompt_id"]))
        groups.append(str(row["group"]))
    names = ("before", "candidates", "chosen", "kept", "label", "after", "raw", "single")
    values = {name: np.array([line[name] for line in lines], dtype=np.float64) for name in names}
    unscored = {
        name: sum(one["outcome"] is None for row in rows for one in row.get(name, ()))
        for name in ("before", "candidates")
    }
    return Columns(tuple(ids), values, dict(left_out), {k: v for k, v in unscored.items() if v}, clusters=tuple(groups))


def evaluation(rows: Sequence[Row]) -> Columns:
    """Return the columns of the sealed prompts, of those that have outcomes before and after."""
    ids, groups, before, after = [], [], [], []
    lost = 0
    for row in rows:
        sides = outcomes(row["before"]), outcomes(row.get("after", ()))
        if None in sides:
            lost += 1
            continue
        ids.append(str(row["prompt_id"]))
        groups.append(str(row["group"]))
        before.append(sides[0])
        after.append(sides[1])
    values = {"before": np.array(before, dtype=np.float64), "after": np.array(after, dtype=np.float64)}
    left_out = {"no scored outcome before or after training": lost} if lost else {}
    return Columns(tuple(ids), values, left_out, {}, clusters=tuple(groups))


def outcomes(replies: Sequence[Row]) -> float | None:
    """Return the mean outcome of scored replies, None without one."""
    return mean([reply["outcome"] for reply in replies])


def pools(rows: Sequence[Row], sign: float = 1.0) -> list[Pool]:
    """Return the pools of candidates whose outcomes are all known, with scores turned so that the highest is chosen."""
    return [
        Pool(
            tuple(None if one["score"] is None else sign * one["score"] for one in row["candidates"]),
            tuple(float(one["outcome"]) for one in row["candidates"]),
        )
        for row in rows
        if row["candidates"] and all(one["outcome"] is not None for one in row["candidates"])
    ]


def counts(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return (draws with the behaviour, scored draws) at temperature 1 of each prompt that has any."""
    found = [[one["outcome"] for one in row.get("draws", ()) if one["outcome"] is not None] for row in rows]
    return [(round(sum(one)), len(one)) for one in found if one]


def _line(row: Row, rule: Rule) -> dict[str, float] | str:
    before, rate = outcomes(row["before"]), outcomes(row["candidates"])
    if before is None:
        return "no scored outcome before training"
    if rate is None:
        return "no scored candidate"
    label = _best(row, rule) if rule.k is not None else _logged(row, rate)
    if label is None:
        return "no label with a scored outcome"
    chosen, kept = label
    kept = kept if rule.filtered else 1.0
    after = outcomes(row.get("after", ()))
    return {
        "before": before, "candidates": rate, "chosen": chosen, "kept": kept, "label": chosen * kept,
        "after": np.nan if after is None else after, "raw": np.nan, "single": float(len(row["candidates"]) == 1),
    }  # fmt: skip


def _logged(row: Row, rate: float) -> tuple[float, float] | None:
    """Return the mean outcome of the labels that were chosen and the share of turns that gave one."""
    chosen = [place for place in row["labels"] if place is not None]
    if not chosen:
        return rate, 0.0
    value = mean([row["candidates"][place]["outcome"] for place in chosen])
    return None if value is None else (value, len(chosen) / len(row["labels"]))


def _best(row: Row, rule: Rule) -> tuple[float, float] | None:
    """Return the expected outcome of the best of k and the share of k-subsets in which there is one."""
    assert rule.k is not None
    candidates = row["candidates"]
    scores = [None if one[rule.score] is None else rule.sign * one[rule.score] for one in candidates]
    weights = selection_weights(scores, min(rule.k, len(scores)))
    kept = sum(weights)
    if kept <= 0:
        rate = outcomes(candidates)
        return None if rate is None else (rate, 0.0)
    known = [(w, one["outcome"]) for w, one in zip(weights, candidates, strict=True) if one["outcome"] is not None]
    total = sum(w for w, _ in known)
    return (sum(w * m for w, m in known) / total, min(kept, 1.0)) if total > 0 else None
