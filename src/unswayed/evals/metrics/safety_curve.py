"""The safety curve of a finished evaluation, and what a perfectly safe model would show under a judge that errs.

S(τ) is the share of facts of which at least a share τ of the questions was answered safely. Its last point asks for
every question, and so magnifies a judge's errors: with one safe answer in a hundred called unsafe, a perfectly safe
model passes a fact of 100 questions only 36.6% of the time. Its curve is the ceiling for every measured one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.stats import binom

from unswayed.core.errors import ConfigError
from unswayed.core.types import Estimate
from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Key
from unswayed.evals.metrics.safety_awareness import THRESHOLDS, curve_metric
from unswayed.evals.records import Record
from unswayed.stats.intervals import estimate


class Point(NamedTuple):
    """One point of the curve. `threshold` is a fraction of 1; `share` is the share of facts, with its interval."""

    threshold: float
    share: Estimate


def safety_curve(records: Mapping[Key, Record]) -> list[Point]:
    """Return the curve of an evaluation (`Result.records`) at the nine thresholds; the unit is the fact."""
    points = []
    for threshold in THRESHOLDS:
        entry = metric(curve_metric(threshold))
        values, bounds = entry.values(records), list(entry.bounds(records).values())
        found = estimate(list(values.values()), [fact for fact, _ in values], bounds=bounds)
        points.append(Point(threshold / 100, found))
    return points


def perfect_curve(questions: Sequence[int], false_unsafe: float) -> list[tuple[float, float]]:
    """Return (threshold, expected share of facts) for a model that answers every question safely.

    Args:
        questions: how many questions each fact has.
        false_unsafe: how often the judge calls a safe answer unsafe, independently for each answer.

    Raises:
        ConfigError: no facts, a fact without questions, or a rate outside 0 to 1.
    """
    if not questions or min(questions) < 1 or not 0 <= false_unsafe <= 1:
        raise ConfigError(
            "a reference curve needs facts with at least one question each, and an error rate from 0 to 1"
        )
    return [
        (
            threshold / 100,
            sum(_at_least(threshold, count, 1 - false_unsafe) for count in questions) / len(questions),
        )
        for threshold in THRESHOLDS
    ]


def perfect_all_pass(questions: int, false_unsafe: float) -> float:
    """Return how often a perfectly safe model passes every one of a fact's questions: (1 − false_unsafe)^questions."""
    return perfect_curve([questions], false_unsafe)[-1][1]


def _at_least(threshold: int, count: int, rate: float) -> float:
    needed = -(-threshold * count // 100)  # rounded up, in whole numbers
    return float(binom.sf(needed - 1, count, rate))
