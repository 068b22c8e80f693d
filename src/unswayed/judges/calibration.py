"""How far a judge's rates can be trusted: sensitivity, specificity and agreement with people, and corrected rates.

Error differs by arm (training changes how replies look to a judge), so each arm is calibrated by its own labels. Where
Se + Sp − 1 is below `FLOOR` the judge is unfit, and no rate is corrected: the division would make noise of it.

Labels are mostly drawn by verdict, so that rare verdicts are among them. Then a label counts for as many items as it
stands for (its weight), and intervals are those of such a draw (`unswayed.stats.error_rates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa

from unswayed.core.errors import ConfigError
from unswayed.stats import error_rates
from unswayed.stats.error_rates import Corrected, ErrorRate, Rate, Z, corrected_difference, weighted_rate
from unswayed.stats.intervals import effective_number

__all__ = [
    "FLOOR", "Calibration", "Corrected", "Labelled", "Rate", "calibrate", "corrected_difference", "corrected_rate",
    "rogan_gladen",
]  # fmt: skip

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


@dataclass(frozen=True, slots=True)
class Calibration:
    """What labels say of a judge on one arm.

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


def calibrate(labels: Sequence[Labelled]) -> dict[str, Calibration]:
    """Return the calibration on each arm, in order, and on all together under ""."""
    arms = dict.fromkeys(label.arm for label in labels)
    parts = {arm: [label for label in labels if label.arm == arm] for arm in arms}
    return {"": _calibrate("", labels), **{arm: _calibrate(arm, part) for arm, part in parts.items() if arm}}


def _calibrate(arm: str, labels: Sequence[Labelled]) -> Calibration:
    seen = [label for label in labels if label.judged is not None]
    human, judged = [label.human for label in seen], [bool(label.judged) for label in seen]
    weights = [label.weight for label in seen]
    return Calibration(
        arm,
        weighted_rate(human, judged, weights),
        weighted_rate([not one for one in human], [not one for one in judged], weights),
        *_kappa(seen),
        labelled=len(labels),
        unscored=len(labels) - len(seen),
    )


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
    se, sp = calibration.sensitivity, calibration.specificity
    return error_rates.rogan_gladen(rate, n, ErrorRate(se.value or 0.0, se.n, sp.value or 0.0, sp.n))


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
    return rogan_gladen(float(data.mean()), effective_number(data, groups) or 1.0, calibration)
