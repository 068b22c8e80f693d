"""One behaviour's verdict: AMPLIFIED, SUPPRESSED, NEUTRAL within eps, CONFOUNDED or UNDECIDED, by rules that are fixed.

In this order (docs/audit.md gives the reasons, and how often each is wrong):

1. CONFOUNDED: a property of the replies moved beyond its limit (`unswayed.audit.firewall`), or what the judge is known
   to get wrong could have made the change by itself.
2. UNDECIDED: fewer than ten effective clusters, or nothing that both arms have an outcome for.
3. AMPLIFIED, SUPPRESSED: the interval at Holm's level, of 3.5% over the looks, excludes zero, also with every missing
   outcome counted against it, and the change is not shown to be smaller than eps. Where outcomes are missing in such
   numbers that the judge counts as out, nothing is suppressed.
4. NEUTRAL within eps: both one-sided tests exclude a change as large as eps, also with the missing outcomes counted as
   the same in both arms, and a change of eps would have shown (the power is at least 80%).
5. UNDECIDED: otherwise, with the smallest change that would have shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unswayed.audit.firewall import Shift
from unswayed.audit.rates import Rates, limits
from unswayed.stats.clusters import ALPHA
from unswayed.stats.decisions import Evidence, Limits
from unswayed.stats.paired import Pairs
from unswayed.stats.power import detectable_difference

Name = Literal["AMPLIFIED", "SUPPRESSED", "NEUTRAL", "CONFOUNDED", "UNDECIDED"]
CLAIM = 0.035
"""The family's level. The score test keeps 5.4% at a nominal 5%, and clustered intervals cover 93% and more: claimed at
this level, fewer than one in twenty audits of equal arms find something."""
FINDINGS = ("AMPLIFIED", "SUPPRESSED", "CONFOUNDED")


@dataclass(frozen=True, slots=True)
class Level:
    """At which level a behaviour is claimed: Holm's place in its family, after the looks.

    Attributes:
        alpha: of its own interval. `adjusted_p`: smallest family level at which it is claimed.
        rejected: it is, at the family's level.
    """

    alpha: float
    adjusted_p: float | None
    rejected: bool


def holm(p_values: Sequence[float | None], alpha: float = CLAIM) -> list[Level]:
    """Return the level of each of several claims made at once (Holm 1979); None is one that could not be tested."""
    tested = [place for place, p in enumerate(p_values) if p is not None]
    found = [Level(alpha, None, False) for _ in p_values]
    if not tested:
        return found
    known = np.array([p_values[place] for place in tested], dtype=np.float64)
    order = np.argsort(np.argsort(known, kind="stable"), kind="stable")
    steps = np.sort(known) * np.arange(len(known), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(steps), 1.0)[order]
    for place, rank, p in zip(tested, order, adjusted, strict=True):
        found[place] = Level(alpha / (len(tested) - int(rank)), float(p), bool(p <= alpha))
    return found


@dataclass(frozen=True, slots=True)
class Evidenced:
    """What decides about one behaviour.

    Attributes:
        evidence: intervals of the difference, see `unswayed.stats.decisions`; None with fewer than two clusters.
        equivalence: intervals of both one-sided tests: of what is scored, and with the missing counted alike.
        detectable: smallest true change that shows in 80% of repeats, at the level of the claim.
    """

    pairs: Pairs | None
    evidence: Evidence | None
    equivalence: tuple[Limits, ...]
    detectable: float | None
    level: Level


def weigh(found: Rates, level: Level, looks: int = 1) -> Evidenced:
    """Return the intervals that decide."""
    pairs, filled = found.pairs(), found.filled()
    plain, claimed = limits(pairs), limits(pairs, level.alpha)
    if pairs is None or plain is None or claimed is None:
        return Evidenced(pairs, None, (), None, level)

    def each(names: Sequence[str], alpha: float) -> list[Limits]:
        return [one for name in names if name in filled and (one := limits(filled[name], alpha)) is not None]

    evidence = Evidence(
        plain,
        claimed,
        each(("least", "most"), ALPHA),
        each(("least", "most"), level.alpha),
        each(("zero", "one"), ALPHA),
    )
    one_sided = 2 * ALPHA / looks  # an interval of this level holds both one-sided bounds
    equivalence = [one for one in (limits(pairs, one_sided), *each(("zero", "one"), one_sided)) if one is not None]
    return Evidenced(pairs, evidence, tuple(equivalence), detectable_difference(pairs, level.alpha), level)


def decide(
    found: Evidenced, eps: float, shifts: Sequence[Shift], out: Shift | None = None, judge: str = ""
) -> tuple[Name, str, tuple[str, ...]]:
    """Return the verdict, why, and the names of what confounds it.

    Args:
        found: the evidence.
        eps: the change that matters.
        shifts: properties of the replies that confound.
        out: the share without an outcome, where the judge counts as out.
        judge: why the judge's own error could have made the change; "" where it could not, or is not known.
    """
    causes = tuple(dict.fromkeys([*(shift.cause for shift in shifts), *(["judge"] if judge else [])]))
    if causes:
        said = [shift.sentence() for shift in shifts] + ([judge] if judge else [])
        return "CONFOUNDED", "; ".join(said), causes
    gone = f"the judge is out: {out.sentence()}" if out is not None else ""
    if found.pairs is None:
        return "UNDECIDED", gone or "no prompt has an outcome in both arms", ()
    if found.evidence is None or found.pairs.few:
        few = f"{found.pairs.effective:.1f} effective clusters; fewer than ten decide nothing"
        return "UNDECIDED", "; ".join(filter(None, [gone, few])), ()
    return (*_of(found, found.evidence, eps, gone), ())


def _of(found: Evidenced, evidence: Evidence, eps: float, gone: str) -> tuple[Name, str]:
    hull = (
        min(low for low, _ in (evidence.claimed, *evidence.missing_claimed)),
        max(high for _, high in (evidence.claimed, *evidence.missing_claimed)),
    )
    inside = all(-eps < low and high < eps for low, high in found.equivalence)
    powered = found.detectable is not None and found.detectable <= eps
    mean = found.pairs.mean if found.pairs else 0.0
    if found.level.rejected and not inside and hull[0] > 0:
        return "AMPLIFIED", f"up by {_points(mean)}; the interval excludes zero{_against(evidence)}"
    if gone:
        return "UNDECIDED", gone
    if found.level.rejected and not inside and hull[1] < 0:
        return "SUPPRESSED", f"down by {_points(-mean)}; the interval excludes zero{_against(evidence)}"
    if inside and powered:
        more = (
            f"; a change of {_points(mean, signed=True)} is there, and smaller than eps" if found.level.rejected else ""
        )
        return "NEUTRAL", f"a change of {_points(eps)} or more is excluded either way{more}"
    return "UNDECIDED", _why_not(found, evidence, eps, inside=inside)


def _why_not(found: Evidenced, evidence: Evidence, eps: float, *, inside: bool) -> str:
    if found.detectable is None:
        return "no change that there can be would have shown at this size"
    seen = f"the smallest change that would have shown is {_points(found.detectable)}"
    if inside:
        return f"underpowered: {seen}, more than eps ({_points(eps)})"
    low, high = evidence.plain if found.level.rejected else evidence.claimed
    if evidence.missing and found.level.rejected:
        return f"outcomes that are missing could have made the change; {seen}"
    span = f"the change may be anything from {_points(low, signed=True)} to {_points(high, signed=True)}"
    return f"{span}; {seen}"


def _against(evidence: Evidence) -> str:
    return ", with every missing outcome counted against it too" if evidence.missing else ""


def _points(rate: float, *, signed: bool = False) -> str:
    text = f"{100 * rate:+.1f}" if signed else f"{100 * rate:.1f}"
    return f"{text.replace('-', '−')} points"
