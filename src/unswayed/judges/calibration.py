r"""Calibration of judges by labels: sensitivity, specificity, agreement with people, and corrected rates.

A judge that finds a share p positive where the true share is π sees p = π·Se + (1 − π)·(1 − Sp). Turned round
(Rogan and Gladen 1978, American Journal of Epidemiology 107:71):

    π = (p + Sp − 1) / (Se + Sp − 1)

Sensitivity and specificity come from labels and are uncertain themselves; the interval of π carries all three
uncertainties (Lang and Reiczigel 2014, Preventive Veterinary Medicine 113:13): counts are shrunk as Agresti and Coull
do, and with J = Se′ + Sp′ − 1

    π′ ± z √( p′(1 − p′)/n′ + π′² Se′(1 − Se′)/N₁′ + (1 − π′)² Sp′(1 − Sp′)/N₀′ ) / J,  moved by
    2 z² ( π′ Se′(1 − Se′)/N₁′ − (1 − π′) Sp′(1 − Sp′)/N₀′ )

Error differs by arm (training changes how replies look to a judge), so each arm is calibrated by its own labels. Where
Se + Sp − 1 is below `FLOOR` the judge is unfit, and no rate is corrected: the division would make noise of it.

Labels are mostly drawn by verdict, so that rare verdicts are among them. Then a label counts for as many items as it
stands for (its weight), and the rates are at the effective size (Σw)² / Σw² of Kish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from unswayed.core.errors import ConfigError
from unswayed.stats.intervals import ALPHA, cluster_variance, effective_size, totals

Z = float(stats.norm.ppf(1 - ALPHA / 2))
FLOOR = 0.5
"""Least Se + Sp − 1 (Youden's J) of a judge whose verdicts mean anything."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One reply that a person and a judge have seen.

    Attributes:
        arm: whose reply it is.
        human: the person found it positive.
        judged: so did the judge; None where there is no verdict.
        weight: how many replies it stands for.
    """

    arm: str
    human: bool
    judged: bool | None
    weight: float = 1.0


class Rate(NamedTuple):
    """A share with its Wilson interval at `n` (effective) labels; None throughout where there are none."""

    value: float | None
    low: float | None
    high: float | None
    n: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Sensitivity, specificity and agreement of a judge on one arm.

    Attributes:
        arm: whose replies; "" for all together.
        sensitivity: share of the positives that the judge found positive.
        specificity: share of the negatives that it found negative.
        kappa, kappa_low, kappa_high: Cohen's kappa with its 95% interval; None where it is not defined,
            the interval also where they never disagreed.
        labelled: labels. `unscored`: those without a verdict, left out above.
    """

    arm: str
    sensitivity: Rate
    specificity: Rate
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    labelled: int
    unscored: int

    @property
    def youden(self) -> float | None:
        """Se + Sp − 1: 1 for a perfect judge, 0 for a coin; None without labels of both kinds."""
        if self.sensitivity.value is None or self.specificity.value is None:
            return None
        return self.sensitivity.value + self.specificity.value - 1

    @property
    def state(self) -> str:
        """`fit`, `unfit`, or `unknown` where there are not labels of both kinds."""
        return "unknown" if self.youden is None else "unfit" if self.youden < FLOOR else "fit"


class Corrected(NamedTuple):
    """A rate as the judge saw it, and as it would be without the judge's known error, with 95% limits."""

    observed: float
    value: float
    low: float
    high: float


def calibrate(labels: Sequence[Labelled]) -> dict[str, Calibration]:
    """Return the calibration on each arm, in order, and on all together under ""."""
    arms = dict.fromkeys(label.arm for label in labels)
    parts = {arm: [label for label in labels if label.arm == arm] for arm in arms}
    return {"": _calibrate("", labels), **{arm: _calibrate(arm, part) for arm, part in parts.items() if arm}}


def _calibrate(arm: str, labels: Sequence[Labelled]) -> Calibration:
    seen = [label for label in labels if label.judged is not None]
    positive = [label for label in seen if label.human]
    negative = [label for label in seen if not label.human]
    kappa = _kappa(seen)
    return Calibration(
        arm,
        _rate([bool(label.judged) for label in positive], [label.weight for label in positive]),
        _rate([not label.judged for label in negative], [label.weight for label in negative]),
        *kappa,
        labelled=len(labels),
        unscored=len(labels) - len(seen),
    )


def _rate(hits: Sequence[bool], weights: Sequence[float]) -> Rate:
    if not hits:
        return Rate(None, None, None, 0.0)
    weight = np.asarray(weights, dtype=np.float64)
    value = float((weight * np.asarray(hits)).sum() / weight.sum())
    size = float(weight.sum() ** 2 / (weight**2).sum())
    low, high = proportion_confint(value * size, size, ALPHA, method="wilson")
    return Rate(value, min(float(low), value), max(float(high), value), size)


def _kappa(seen: Sequence[Labelled]) -> tuple[float | None, float | None, float | None]:
    if len({label.human for label in seen}) < 2 or len({label.judged for label in seen}) < 2:
        return None, None, None  # somebody gave one answer only: there is no agreement beyond chance to speak of
    table = np.zeros((2, 2))
    for label in seen:
        table[int(label.human), int(bool(label.judged))] += label.weight
    weights = np.asarray([label.weight for label in seen])
    table *= weights.sum() / (weights**2).sum()  # as many as the effective size
    with np.errstate(invalid="ignore"):  # full agreement leaves a variance of zero, or of rounding below it
        found = cohens_kappa(table)
    half = Z * float(found.std_kappa)
    if not half > 1e-6:
        return float(found.kappa), None, None  # no spread was seen, which is not the same as none
    return float(found.kappa), max(-1.0, float(found.kappa) - half), min(1.0, float(found.kappa) + half)


def rogan_gladen(rate: float, n: float, calibration: Calibration) -> Corrected:
    """Return a judge's rate corrected for its error, with the interval of Lang and Reiczigel.

    Args:
        rate: share of verdicts that are positive.
        n: independent verdicts it is from (the effective number, where clustered).
        calibration: of this judge on this arm.

    Raises:
        ConfigError: the judge is unfit, or its error is not known.
    """
    youden = calibration.youden
    if youden is None or calibration.sensitivity.value is None or calibration.specificity.value is None:
        raise ConfigError(f"arm {calibration.arm!r}: labels of both kinds are needed to correct a rate")
    if youden < FLOOR:
        raise ConfigError(
            f"arm {calibration.arm!r}: Se + Sp − 1 is {youden:.2f}, below {FLOOR}; the judge is unfit, and no rate "
            "of its verdicts means anything"
        )
    z = Z
    se, n1 = _shrunk(calibration.sensitivity.value, calibration.sensitivity.n)
    sp, n0 = _shrunk(calibration.specificity.value, calibration.specificity.n)
    p, size = (n * rate + z * z / 2) / (n + z * z), n + z * z
    j = se + sp - 1
    middle = (p + sp - 1) / j
    from_se, from_sp = se * (1 - se) / n1, sp * (1 - sp) / n0
    moved = 2 * z * z * (middle * from_se - (1 - middle) * from_sp)
    half = z * math.sqrt(p * (1 - p) / size + middle**2 * from_se + (1 - middle) ** 2 * from_sp) / j
    value = (rate + calibration.specificity.value - 1) / youden
    return Corrected(rate, _clipped(value), _clipped(middle + moved - half), _clipped(middle + moved + half))


def _shrunk(value: float, n: float) -> tuple[float, float]:
    """Return a share and its count with one success and one failure added."""
    return (n * value + 1) / (n + 2), n + 2


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def corrected_rate(values: Sequence[float], groups: Sequence[str], calibration: Calibration) -> Corrected:
    """Return the corrected rate of clustered verdicts, at their effective number.

    Args:
        values: 1 for a positive verdict and 0 for a negative one, not empty.
        groups: the cluster of each.
        calibration: of this judge on this arm.

    Raises:
        ConfigError: see `rogan_gladen`; or values that are not zeros and ones.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data) or not np.isin(data, (0, 1)).all():
        raise ConfigError("a corrected rate needs verdicts of 0 and 1")
    sums, sizes = totals(data, groups)
    n, rate = float(len(data)), float(data.mean())
    if 1 < len(sums) < len(data):
        n = float(effective_size(n, len(sums), rate * (1 - rate) / n, cluster_variance(sums, sizes)))
    return rogan_gladen(rate, min(n, float(len(data))) if len(sums) > 1 else 1.0, calibration)


def corrected_difference(before: Corrected, after: Corrected) -> tuple[float, float, float]:
    """Return after minus before of two corrected rates with 95% limits.

    The limits are recovered from those of the two rates (Newcombe's square-and-add, as MOVER of Zou and Donner 2008,
    Statistics in Medicine 27:1693). It uses no pairing, so with paired samples it is wider than it need be.
    """
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return value, max(-1.0, value - down), min(1.0, value + up)
