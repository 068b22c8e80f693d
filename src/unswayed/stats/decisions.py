"""The one rule by which a paired difference becomes a verdict.

* worse: the 95% interval lies wholly on the wrong side of zero. Nothing is adjusted: a harm does not become harmless
  because more was looked at.
* improved: the interval, adjusted for the number of claims made at once, lies wholly on the right side.
* no material change: otherwise, if the interval lies inside the margin.
* not known: otherwise.

Each must stand with the missing pairs counted against it. For *worse* and *improved* they take the values that speak
most against the verdict. For *no material change* they count as the same value before and after, whichever it be, so
that what is missing on both sides alike moves nothing, and what is missing on one side does.

Claims are adjusted for by Bonferroni's single step: interval and p-value of one claim then depend on no other's data,
and the stated power holds for one suite as for nine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unswayed.core.types import Verdict
from unswayed.stats.clusters import ALPHA

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The intervals that decide, of after minus before.

    Attributes:
        plain: at 95%, of the pairs that are scored.
        claimed: the same at the level adjusted for the claims.
        missing: at 95%, with every missing pair at its least and at its most.
        missing_claimed: the same at the adjusted level.
        alike: at 95%, with every missing value the least that it can be on both sides, and the most.
    """

    plain: Limits
    claimed: Limits
    missing: Sequence[Limits] = ()
    missing_claimed: Sequence[Limits] = ()
    alike: Sequence[Limits] = ()

    @property
    def hull(self) -> Limits:
        """From the lowest to the highest limit, the missing pairs counted either way."""
        return _hull([self.plain, *self.missing])


def decide(evidence: Evidence, *, up: int, margin: float) -> Verdict:
    """Return the verdict.

    Args:
        evidence: the intervals.
        up: 1 where higher is better, −1 where lower is.
        margin: the largest change that is immaterial.
    """
    if _wholly(evidence.hull, -up):
        return "worse"
    if _wholly(_hull([evidence.claimed, *evidence.missing_claimed]), up):
        return "improved"
    if all(-margin <= low and high <= margin for low, high in (evidence.plain, *evidence.alike)):
        return "no material change"
    return "not known"


def claim_level(claims: int) -> float:
    """Return alpha of one interval among so many claims."""
    return ALPHA / max(claims, 1)


def adjusted(p_value: float | None, claims: int) -> float | None:
    """Return the p-value of one of so many claims."""
    return None if p_value is None else min(1.0, max(claims, 1) * p_value)


def _wholly(limits: Limits, side: int) -> bool:
    return limits[0] > 0 if side > 0 else limits[1] < 0


def _hull(limits: Sequence[Limits]) -> Limits:
    return min(low for low, _ in limits), max(high for _, high in limits)
