r"""What choosing the best of k does, from a pool of N ≥ k exchangeable candidates, without drawing again.

Every estimate is the exact average over all C(N, k) subsets, so it is unbiased for independent draws, and one pool
gives the whole curve in k. Ties are broken at random: candidates with equal scores share what their ranks are worth.
With scores sorted ascending, rank r (from 1) is the best of a k-subset with probability C(r−1, k−1) / C(N, k).

    B(k) = E[outcome of the best of k] − E[outcome of any candidate]      (the selection term of Price's equation)

A score of None is missing: such a candidate is never chosen, and a subset of only such candidates gives no label.
Pools of several decoders are not exchangeable; there, choose again on fresh pools instead.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from unswayed.core.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class BestOf:
    """The best of k. `value` is None where no subset has a scored candidate; `kept` is the share of those that do."""

    value: float | None
    kept: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """Mean selection pressure over prompts, with the standard error of that mean (None for a single prompt).

    `left_out` counts prompts without a scored candidate, where there is no best.
    """

    mean: float | None
    standard_error: float | None
    prompts: int
    left_out: int


def selection_weights(scores: Sequence[float | None], k: int) -> list[float]:
    """Return for each candidate the probability that it is the best of a random k-subset; the sum is `BestOf.kept`.

    Raises:
        ConfigError: k is not from 1 to N; a pool says nothing about more draws than it has.
        DataError: a score is not finite.
    """
    values = _check(scores, k)
    missing = len(scores) - len(values)
    counts = Counter(values)
    share: dict[float, float] = {}
    below = missing
    for value in sorted(counts):
        # Subsets whose best has this value: all from here down, minus all from strictly below.
        subsets = comb(below + counts[value], k) - comb(below, k)
        share[value] = subsets / comb(len(scores), k) / counts[value]
        below += counts[value]
    return [0.0 if score is None else share[float(score)] for score in scores]


def best_of_k(scores: Sequence[float | None], outcomes: Sequence[float], k: int) -> BestOf:
    """Return the expected outcome of the best of k candidates.

    Raises:
        ConfigError: as `selection_weights`.
        DataError: scores and outcomes differ in number, or are not finite.
    """
    _check_outcomes(scores, outcomes)
    weights = selection_weights(scores, k)
    kept = math.fsum(weights)
    if not kept:
        return BestOf(None, 0.0)
    return BestOf(math.fsum(w * o for w, o in zip(weights, outcomes, strict=True)) / kept, min(kept, 1.0))


def selection_pressure(scores: Sequence[float | None], outcomes: Sequence[float], k: int) -> float | None:
    """Return B(k) of one pool: what choosing adds to the mean outcome. None where nothing is scored."""
    best = best_of_k(scores, outcomes, k).value
    return None if best is None else best - math.fsum(outcomes) / len(outcomes)


def mean_pressure(pools: Sequence[tuple[Sequence[float | None], Sequence[float]]], k: int) -> Pressure:
    """Return B(k) averaged over prompts; `pools` are (scores, outcomes)."""
    values = [value for scores, outcomes in pools if (value := selection_pressure(scores, outcomes, k)) is not None]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Pressure(statistics.fmean(values) if values else None, error, len(values), len(pools) - len(values))


def effective_k(scores: Sequence[float | None], k: int) -> float:
    """Return the expected number of distinct scores among k candidates; missing scores count for none."""
    values = _check(scores, k)
    n, subsets = len(scores), comb(len(scores), k)
    return math.fsum(1 - comb(n - count, k) / subsets for count in Counter(values).values())


def _check(scores: Sequence[float | None], k: int) -> list[float]:
    if not 1 <= k <= len(scores):
        raise ConfigError(f"k = {k} with {len(scores)} candidates: give k from 1 to the size of the pool")
    values = [float(score) for score in scores if score is not None]
    if not all(map(math.isfinite, values)):
        raise DataError("a score is not finite; a missing score is None")
    return values


def _check_outcomes(scores: Sequence[float | None], outcomes: Sequence[float]) -> None:
    if len(scores) != len(outcomes):
        raise DataError(f"{len(scores)} scores for {len(outcomes)} outcomes; give one of each for every candidate")
    if not all(map(math.isfinite, outcomes)):
        raise DataError("an outcome is not finite; leave prompts with unknown outcomes out")
