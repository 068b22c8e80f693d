"""The verdict on each behaviour with everything that must be printed beside it; and what lies beneath its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from unswayed.audit import verdict
from unswayed.audit.firewall import firewall, outage
from unswayed.audit.join import Joined, Key
from unswayed.audit.plan import AuditConfig
from unswayed.audit.rates import Rates, limits, rates
from unswayed.audit.reply import Reply, count_outcomes
from unswayed.audit.verdict import CLAIM, Level, holm, weigh
from unswayed.stats.clusters import ALPHA
from unswayed.stats.intervals import estimate

Some = dict[Key, list[Reply]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour in both arms: under the conditions that its verdict is about."""

    name: str
    before: Some
    after: Some

    @property
    def rates(self) -> Rates:
        """The trait's rate by prompt."""
        return rates(self.before, self.after, lambda one: one.value)


def behaviours(joined: Joined, names: Sequence[str]) -> list[Behaviour]:
    """Return the named behaviours; where some prompts are asked under no condition, these alone decide."""
    return [Behaviour(name, *(_main(_of(side, name)) for side in (joined.before, joined.after))) for name in names]


def _of(side: Some, name: str) -> Some:
    return {key: some for key, some in side.items() if key[0] == name}


def _main(side: Some) -> Some:
    plain = {key: some for key, some in side.items() if not some[0].condition}
    return plain or side


def condition(joined: Joined, name: str, which: str) -> Behaviour:
    """Return a behaviour under one condition."""
    both = [
        {key: some for key, some in _of(side, name).items() if side[key][0].condition == which}
        for side in (joined.before, joined.after)
    ]
    return Behaviour(name, *both)


def levels(found: Sequence[Behaviour], plan: AuditConfig) -> list[Level]:
    """Return at which level each is claimed: Holm's in the declared family, and in that of all others."""
    family = set(plan.family) or {one.name for one in found}
    levels: dict[str, Level] = {}
    for role in (True, False):
        own = [one for one in found if (one.name in family) is role]
        p_values = [None if (pairs := one.rates.pairs()) is None else pairs.p_value for one in own]
        levels |= dict(zip((one.name for one in own), holm(p_values, CLAIM / plan.looks), strict=True))
    return [levels[one.name] for one in found]


def measure(
    one: Behaviour,
    level: Level,
    plan: AuditConfig,
    *,
    noise: Rates | None = None,
    restless: bool = False,
    judge: tuple[str, Mapping[str, Any]] = ("", {}),
) -> dict[str, Any]:
    """Return the verdict on a behaviour as `audit.json` has it.

    Args:
        one: the behaviour.
        level: at which it is claimed.
        plan: margins and limits.
        noise: rates of the replicate of BEFORE and of AFTER; a finding must hold against it too.
        restless: the baseline differs from itself.
        judge: what the judge's known error comes to, in words and as `audit.json` has it.
    """
    found, eps = one.rates, plan.eps_of(one.name)
    shifts = firewall(one.before, one.after, plan.firewall)
    out = outage(one.before, one.after, plan.firewall)
    causes = [shift for shift in shifts if shift.confounds]
    weighed = weigh(found, level, plan.looks)
    name, why, confounded = verdict.decide(weighed, eps, causes, out if out.confounds else None, judge[0])
    if name in {"AMPLIFIED", "SUPPRESSED"} and noise is not None and not _holds(noise, level, up=name == "AMPLIFIED"):
        name, why = "UNDECIDED", f"within the noise floor: it does not hold against the replicate of before ({why})"
    if restless and name != "CONFOUNDED":
        name, why = "UNDECIDED", f"the baseline differs from itself: its own replies fail the A/A test ({why})"
    return {**_numbers(one, found, weighed, level, eps, plan), "verdict": name, "why": why, **judge[1],
            "confounded_by": list(confounded), "validity": [shift.about() for shift in (*shifts, out)]}  # fmt: skip


def _holds(noise: Rates, level: Level, *, up: bool) -> bool:
    span = limits(noise.pairs(), level.alpha)
    return span is not None and (span[0] > 0 if up else span[1] < 0)


def _numbers(
    one: Behaviour, found: Rates, weighed: verdict.Evidenced, level: Level, eps: float, plan: AuditConfig
) -> dict[str, Any]:
    arms = {
        name: [reply for some in side.values() for reply in some]
        for name, side in (("before", one.before), ("after", one.after))
    }
    lost = {name: sum(reply.outcome is None for reply in replies) for name, replies in arms.items()}
    pairs, evidence = weighed.pairs, weighed.evidence
    moved = (found.after - found.before)[found.scored]
    return {
        "behaviour": one.name,
        "estimate": None if pairs is None else pairs.mean,
        "interval": None if evidence is None else list(evidence.plain),
        "n": int(found.scored.sum()),
        "prompts": len(found.groups),
        "replies": {name: len(replies) for name, replies in arms.items()},
        "clusters": 0 if pairs is None else pairs.clusters,
        "effective_clusters": None if pairs is None else pairs.effective,
        "unscored": sum(lost.values()),
        "unscored_by_arm": lost,
        "eps": eps,
        "rates": {name: _rate(replies) for name, replies in arms.items()},
        "outcomes": {name: count_outcomes(replies) for name, replies in arms.items()},
        "adjusted_interval": None if evidence is None else list(evidence.claimed),
        "level": level.alpha,
        "p_value": None if pairs is None else pairs.p_value,
        "adjusted_p": level.adjusted_p,
        "family": not plan.family or one.name in plan.family,
        "looks": plan.looks,
        "worst_case": None if evidence is None or not evidence.missing else list(evidence.hull),
        "equivalence": [list(limits) for limits in weighed.equivalence],
        "detectable": weighed.detectable,
        "rose": int((moved > 0).sum()),
        "fell": int((moved < 0).sum()),
        "method": "none" if pairs is None else pairs.method,
    }


def _rate(replies: Sequence[Reply]) -> dict[str, Any]:
    """Return an arm's rate over all its replies, with its interval and what the missing ones leave open."""
    found = estimate([one.value for one in replies], [one.group or one.id for one in replies])
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "unscored": found.unscored,
            "least": found.least, "most": found.most}  # fmt: skip


def effect(found: Rates, alpha: float = ALPHA) -> dict[str, Any]:
    """Return a difference with its interval and size, and no verdict."""
    pairs = found.pairs()
    span = limits(pairs, alpha)
    return {
        "estimate": None if pairs is None else pairs.mean,
        "interval": None if span is None else list(span),
        "n": int(found.scored.sum()),
        "before": _mean(found.before[found.scored]),
        "after": _mean(found.after[found.scored]),
        "p_value": None if pairs is None else pairs.p_value,
    }


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def slices(found: Sequence[Behaviour]) -> list[dict[str, Any]]:
    """Return the effect on each slice, with p-values that hold the share of false ones (Benjamini and Hochberg)."""
    rows = []
    for one in found:
        names = list(dict.fromkeys(some[0].slice for some in one.before.values()))
        for name in names if len(names) > 1 else []:
            part = [{key: some for key, some in side.items() if one.before[key][0].slice == name}
                    for side in (one.before, one.after)]  # fmt: skip
            row = effect(rates(part[0], part[1], lambda reply: reply.value))
            rows.append({"behaviour": one.name, "slice": name or "(none)", **row})
    tested = [row for row in rows if row["p_value"] is not None]
    if tested:
        adjusted = stats.false_discovery_control([row["p_value"] for row in tested])
        for row, p in zip(tested, adjusted, strict=True):
            row["adjusted_p"] = float(p)
    return rows
