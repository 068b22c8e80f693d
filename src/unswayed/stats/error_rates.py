r"""How often a rule or a judge is wrong, and what a rate would be without that error.

One that finds a share p positive where the true share is π sees p = π·Se + (1 − π)·(1 − Sp). Turned round
(Rogan and Gladen 1978, American Journal of Epidemiology 107:71):

    π = (p + Sp − 1) / (Se + Sp − 1)

Sensitivity and specificity come from labels and are uncertain themselves; the interval of π carries all three
uncertainties (Lang and Reiczigel 2014, Preventive Veterinary Medicine 113:13): counts are shrunk as Agresti and Coull
do, and with J = Se′ + Sp′ − 1

    π′ ± z √( p′(1 − p′)/n′ + π′² Se′(1 − Se′)/N₁′ + (1 − π′)² Sp′(1 − Sp′)/N₀′ ) / J,  moved by
    2 z² ( π′ Se′(1 − Se′)/N₁′ − (1 − π′) Sp′(1 − Sp′)/N₀′ )

Labels that were drawn by verdict fix how many of each verdict there are, so what they estimate is the share of true
positives inside each. Sensitivity is 1 / (1 + ratio) of two such shares, and its interval that of the ratio (Donner and
Zou 2012, Statistical Methods in Medical Research 21:347).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from unswayed.stats.clusters import ALPHA
from unswayed.stats.intervals import wilson

Z = float(stats.norm.ppf(1 - ALPHA / 2))


class ErrorRate(NamedTuple):
    """What labels say of a rule: sensitivity from so many positives, specificity from so many negatives."""

    sensitivity: float
    positives: float
    specificity: float
    negatives: float

    @property
    def swapped(self) -> ErrorRate:
        """The same of a rate that counts the negatives."""
        return ErrorRate(self.specificity, self.negatives, self.sensitivity, self.positives)


class Rate(NamedTuple):
    """A share with its interval from `n` (effective) labels; None throughout where there are none."""

    value: float | None
    low: float | None
    high: float | None
    n: float


class Corrected(NamedTuple):
    """A rate as it was found, and as it would be without the known error, with 95% limits."""

    observed: float
    value: float
    low: float
    high: float


class _Share(NamedTuple):
    """A share inside one verdict, from labels that count for more or less, and how many replies had that verdict."""

    hits: float
    n: float
    stand_for: float

    @property
    def value(self) -> float:
        return self.hits / self.n

    @property
    def shrunk(self) -> float:
        return (self.hits + 0.5) / (self.n + 1)


def weighted_rate(among: Sequence[bool], hits: Sequence[bool], weights: Sequence[float]) -> Rate:
    """Return how often the verdict is a hit among the labels that belong, e.g. the human positives.

    Args:
        among: whether each label belongs.
        hits: whether its verdict is the one that is counted.
        weights: how many replies it stands for. Where they differ by verdict the labels were drawn by verdict.
    """
    belongs, hit, weight = np.asarray(among), np.asarray(hits), np.asarray(weights, dtype=np.float64)
    if not belongs.any():
        return Rate(None, None, None, 0.0)
    kept = weight * belongs
    value = float((kept * hit).sum() / kept.sum())
    sides = [weight[hit == way] for way in (True, False)]
    if any(not len(side) for side in sides) or math.isclose(sides[0].mean(), sides[1].mean(), rel_tol=1e-6):
        size = float(kept.sum() ** 2 / (kept**2).sum())
        return Rate(value, *wilson(value, size), size)
    inside = [_inside(belongs[hit == way], side) for way, side in zip((True, False), sides, strict=True)]
    return _by_verdict(value, *inside)


def _inside(belongs: np.ndarray, weight: np.ndarray) -> _Share:
    size = float(weight.sum() ** 2 / (weight**2).sum())
    return _Share(size * float((weight * belongs).sum() / weight.sum()), size, float(weight.sum()))


def _by_verdict(value: float, right: _Share, wrong: _Share) -> Rate:
    """Return hits / (hits + misses) where the share that belongs was estimated inside either verdict."""
    odds = wrong.stand_for / right.stand_for
    (l1, u1), (l2, u2) = wilson(wrong.value, wrong.n), wilson(right.value, right.n)
    product = wrong.value * right.value
    low = _ratio(product, -1, l1 * u2 * (2 * wrong.value - l1) * (2 * right.value - u2), u2 * (2 * right.value - u2))
    high = _ratio(product, 1, u1 * l2 * (2 * wrong.value - u1) * (2 * right.value - l2), l2 * (2 * right.value - l2))
    limits = 1 / (1 + odds * high), 1 / (1 + odds * low)
    s, a, b = odds * wrong.shrunk / right.shrunk, wrong.shrunk, right.shrunk
    middle = 1 / (1 + s)
    variance = (1 - a) / (wrong.n * a) + (1 - b) / (right.n * b)  # of the log odds
    return Rate(value, min(limits[0], value), max(limits[1], value), 1 / (middle * (1 - middle) * variance))


def _ratio(product: float, sign: int, under: float, denominator: float) -> float:
    if denominator <= 0:
        return 0.0 if sign < 0 else math.inf
    return max(0.0, (product + sign * math.sqrt(max(product**2 - under, 0.0))) / denominator)


def rogan_gladen(rate: float, n: float, known: ErrorRate) -> Corrected:
    """Return a rate corrected for its known error, with the interval of Lang and Reiczigel.

    Args:
        rate: share of verdicts that are positive.
        n: independent verdicts it is from (the effective number, where clustered).
        known: of whatever gave the verdicts. Se + Sp must exceed 1.
    """
    z = Z
    se, n1 = _shrunk(known.sensitivity, known.positives)
    sp, n0 = _shrunk(known.specificity, known.negatives)
    p, size = (n * rate + z * z / 2) / (n + z * z), n + z * z
    j = se + sp - 1
    middle = (p + sp - 1) / j
    from_se, from_sp = se * (1 - se) / n1, sp * (1 - sp) / n0
    moved = 2 * z * z * (middle * from_se - (1 - middle) * from_sp)
    half = z * math.sqrt(p * (1 - p) / size + middle**2 * from_se + (1 - middle) ** 2 * from_sp) / j
    value = (rate + known.specificity - 1) / (known.sensitivity + known.specificity - 1)
    return Corrected(rate, _clipped(value), _clipped(middle + moved - half), _clipped(middle + moved + half))


def _shrunk(value: float, n: float) -> tuple[float, float]:
    """Return a share and its count with one success and one failure added."""
    return (n * value + 1) / (n + 2), n + 2


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def corrected_difference(before: Corrected, after: Corrected) -> tuple[float, float, float]:
    """Return after minus before of two corrected rates with 95% limits.

    The limits are recovered from those of the two rates (Newcombe's square-and-add, as MOVER of Zou and Donner 2008,
    Statistics in Medicine 27:1693). It uses no pairing, so with paired samples it is wider than it need be.
    """
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return value, max(-1.0, value - down), min(1.0, value + up)
