r"""What choosing by a score adds to the rate of a behaviour: every k from one pool, the curve behind it, and its bound.

Inside a prompt let U be the mid-rank quantile of a candidate's score and η(u) = P(behaviour | U = u). Choosing the
best of k has B = ∫ (k uᵏ⁻¹ − 1) η(u) du, so for any η of oscillation osc = max η − min η

    |B| ≤ c_k · osc,   c_k = max_t (t − tᵏ) = k^{−1/(k−1)} (1 − 1/k)

and for a straight η, B = osc · (k − 1) / (2(k + 1)). Ranks are taken within prompts: over prompts together, a score
that differs between them shows a slope where no choice is made (Simpson). The estimates for each k are those of
`unswayed.labels.estimators`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from unswayed.core.errors import DataError
from unswayed.core.seeding import rng
from unswayed.labels.estimators import effective_k, selection_pressure
from unswayed.stats.bootstrap import REPLICATES, bca, left_out, resampled
from unswayed.stats.clusters import Floats

BINS = 5


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates of one prompt: scores (None: never chosen) and outcomes from 0 to 1, in the same order."""

    scores: tuple[float | None, ...]
    outcomes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Choosing the best of k: what it adds, how much it could add at most, and how many scores really differ."""

    k: int
    selection: float
    interval: tuple[float, float] | None
    bound: float
    effective_k: float


@dataclass(frozen=True, slots=True)
class Eta:
    """The rate of the behaviour along the score's rank inside a prompt.

    Attributes:
        edges: of the bins, from 0 to 1. `binned`: mean outcome in each.
        isotonic: the monotone fit at the middle of each bin; `direction` is 1 where it rises, −1 where it falls.
        oscillation: of the monotone fit, with its interval over prompts. `wiggle`: of the bins, which no order smooths.
        tied: share of candidates whose score another candidate of the prompt has as well.
        p_value: how often scores permuted within prompts leave a rank correlation as large (two-sided).
    """

    edges: tuple[float, ...]
    binned: tuple[float, ...]
    isotonic: tuple[float, ...]
    direction: int
    oscillation: float
    interval: tuple[float, float] | None
    wiggle: float
    tied: float
    p_value: float


def bound(k: int) -> float:
    """Return c_k, the most that choosing the best of k can move a rate for each unit of oscillation."""
    return 0.0 if k == 1 else k ** (-1 / (k - 1)) * (1 - 1 / k)


def bound_of_pool(n: int, k: int) -> float:
    """Return the same for one given pool of n: max_j (j/n − C(j,k)/C(n,k)).

    It is above c_k, because k of n are drawn without replacement, and falls to it as n grows.
    """
    j = np.arange(n + 1)
    inside = np.array([stats.hypergeom.pmf(k, n, each, k) for each in j])  # all k among the lowest j
    return float((j / n - inside).max())


def curve(pools: Sequence[Pool], *, seed: int = 0, replicates: int = REPLICATES) -> list[Point]:
    """Return what choosing the best of k adds, for every k up to the smallest pool, with BCa intervals over prompts.

    Args:
        pools: of exchangeable candidates; prompts where nothing is scored are left out of the mean at every k.
        seed, replicates: of the bootstrap.

    Raises:
        DataError: no pool has a scored candidate.
    """
    scored = [pool for pool in pools if any(score is not None for score in pool.scores)]
    if not scored:
        raise DataError("no candidate has a score; nothing can be said of choosing by it")
    most = min(len(pool.scores) for pool in scored)
    values = np.array(
        [[selection_pressure(pool.scores, pool.outcomes, k) for k in range(1, most + 1)] for pool in scored]
    )
    strata = np.zeros(len(scored), dtype=np.int64)

    def means(weights: Floats) -> Floats:
        found: Floats = weights @ values / weights.sum(1, keepdims=True)
        return found

    boot = resampled(means, strata, seed, replicates)
    without = left_out(means, len(scored)) if len(scored) > 1 else None
    shake = eta(scored, seed=seed, replicates=0).wiggle
    return [
        Point(
            k,
            float(values[:, k - 1].mean()),
            None if without is None else bca(float(values[:, k - 1].mean()), boot[:, k - 1], without[:, k - 1], strata),
            bound(k) * shake,
            float(np.mean([effective_k(pool.scores, k) for pool in scored])),
        )
        for k in range(1, most + 1)
    ]


def eta(
    pools: Sequence[Pool], *, bins: int = BINS, seed: int = 0, replicates: int = 400, permutations: int = 400
) -> Eta:
    """Return the within-prompt curve of the behaviour along the score's rank.

    Args:
        pools: prompts with fewer than two scored candidates have no ranks and are left out.
        bins: of the rank quantile.
        seed: of the bootstrap over prompts and of the permutations.
        replicates, permutations: how many of each.
    """
    ranked = [ranks for pool in pools if (ranks := _ranks(pool)) is not None]
    if not ranked:
        raise DataError("no prompt has two scored candidates; there are no ranks within prompts")
    edges = np.linspace(0, 1, bins + 1)
    tables = np.stack([_table(u, m, bins) for u, m in ranked])  # [prompts, 2, bins]: sums and counts
    binned, fitted, direction = _fit(tables.sum(0))
    generator = rng(seed, "eta")
    again = [
        np.ptp(_fit(tables[generator.integers(len(tables), size=len(tables))].sum(0))[1]) for _ in range(replicates)
    ]
    low, high = np.quantile(again, [0.025, 0.975]) if replicates else (np.nan, np.nan)
    oscillation = float(np.ptp(fitted))
    limits = (min(float(low), oscillation), max(float(high), oscillation)) if replicates else None
    wiggle = float(np.nanmax(binned) - np.nanmin(binned))
    return Eta(
        tuple(map(float, edges)), tuple(map(float, binned)), tuple(map(float, fitted)), direction, oscillation, limits,
        wiggle, float(np.mean([_tied(pool) for pool in pools])), _permuted(ranked, generator, permutations),
    )  # fmt: skip


def sign_flip(differences: Sequence[float], *, seed: int = 0, draws: int = 2000) -> float:
    """Return the two-sided p-value of a mean difference of zero, by flipping signs of prompts' differences."""
    values = np.asarray(differences, dtype=np.float64)
    signs = rng(seed, "sign flip").choice([-1.0, 1.0], size=(draws, len(values)))
    extreme = np.abs(signs @ values) >= abs(values.sum()) - 1e-12
    return float((extreme.sum() + 1) / (draws + 1))


def by_source(pools: Sequence[Sequence[tuple[str, float]]], chosen: Sequence[int]) -> dict[str, dict[str, float]]:
    r"""Return, by decoder, how often it is in the pool, how often it is picked, its rate, and its part of B.

    Pools of several decoders are not exchangeable, so there is no curve in k; the pools that were really drawn are the
    replicates. B = Σ_s (picked_s − share_s) · rate_s + Σ_s picked_s · (rate of its chosen − rate_s): `between` and
    `within`.

    Args:
        pools: (decoder, outcome) of each candidate.
        chosen: the place of the label in each pool.
    """
    pooled: dict[str, list[float]] = defaultdict(list)
    picked: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, float] = defaultdict(float)
    rates: dict[str, float] = defaultdict(float)
    for pool, place in zip(pools, chosen, strict=True):
        for source, outcome in pool:
            pooled[source].append(outcome)
            shares[source] += 1 / len(pool) / len(pools)
            rates[source] += outcome / len(pool) / len(pools)
        picked[pool[place][0]].append(pool[place][1])
    found = {}
    for source, values in pooled.items():
        rate = rates[source] / shares[source]
        wins = len(picked[source]) / len(pools)
        inside = float(np.mean(picked[source])) - rate if picked[source] else 0.0
        found[source] = {
            "share": shares[source], "picked": wins, "rate": rate, "candidates": float(len(values)),
            "between": (wins - shares[source]) * rate, "within": wins * inside,
        }  # fmt: skip
    return found


def _ranks(pool: Pool) -> tuple[Floats, Floats] | None:
    kept = [(score, m) for score, m in zip(pool.scores, pool.outcomes, strict=True) if score is not None]
    if len(kept) < 2:
        return None
    scores, outcomes = np.array(kept, dtype=np.float64).T
    return (stats.rankdata(scores) - 0.5) / len(scores), outcomes


def _table(u: Floats, m: Floats, bins: int) -> Floats:
    place = np.minimum((u * bins).astype(int), bins - 1)
    return np.stack([np.bincount(place, weights=m, minlength=bins), np.bincount(place, minlength=bins)])


def _fit(table: Floats) -> tuple[Floats, Floats, int]:
    """Return means by bin, the better of the rising and the falling monotone fit, and which of them it is."""
    sums, counts = table
    binned = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    known = counts > 0
    fits = []
    for direction in (1, -1):
        fit = optimize.isotonic_regression(binned[known], weights=counts[known], increasing=direction > 0).x
        fits.append((float((counts[known] * (fit - binned[known]) ** 2).sum()), direction, fit))
    _, direction, fit = min(fits, key=lambda one: one[0])
    middle = np.arange(len(sums))
    return binned, np.interp(middle, middle[known], fit), direction


def _tied(pool: Pool) -> float:
    scores = [score for score in pool.scores if score is not None]
    return float(np.mean([scores.count(score) > 1 for score in scores])) if scores else 0.0


def _permuted(ranked: Sequence[tuple[Floats, Floats]], generator: np.random.Generator, permutations: int) -> float:
    def statistic(order: Mapping[int, Floats] | None = None) -> float:
        return float(sum(((u if order is None else order[i]) - u.mean()) @ m for i, (u, m) in enumerate(ranked)))

    found = abs(statistic())
    extreme = sum(
        abs(statistic({i: generator.permutation(u) for i, (u, _) in enumerate(ranked)})) >= found - 1e-12
        for _ in range(permutations)
    )
    return (extreme + 1) / (permutations + 1)
