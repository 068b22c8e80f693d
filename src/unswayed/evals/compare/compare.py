"""Before and after on the same samples: paired effects, and what may be concluded from them.

Each metric gets the paired difference with its 95% interval, an exact test, the smallest effect a repeat would find,
and one of four verdicts:

* no material change: the whole interval lies within ± the margin, which is declared in a plan (two one-sided tests at
  2.5% each, stricter than the customary 5%, so that the interval on the page and the verdict never disagree);
* improved, regressed: otherwise, if the interval excludes zero and the test, corrected by Holm's method over its
  family, stays below 5%;
* inconclusive: otherwise. Where more than 5% of the pairs are unscored, or more than 2% of either side was cut off
  before it had an answer, a change counts only if it stands with every missing value counted against it (worst case).
  A degenerate model can regress, but nothing else can be said of it; nor of one whose share of readable answers fell
  by more than 10 points, nor is a gain one that comes from unreadable replies alone: a hint is not followed by a model
  that says nothing. An improvement smaller than the distance between two evaluations of the baseline itself is none.

Beside the verdict stands non-inferiority: may a loss as large as the margin be excluded, by the one-sided 95% bound?
Where it may not, and a repeat of this size could not prove it even if nothing changed, that is said.

An improved primary metric names the counter-metrics that regressed with it. The primary metrics of all suites compared
at once are one family, everything else is the other, and each family has half of the 5%: a counter-metric never costs a
primary one its power, and where nothing changed at all, not more than one audit in twenty holds a false verdict. One
trained model is one checkpoint, and a verdict is about that; with several, of different training seeds, the seed is the
unit and the verdict is about the method (`unswayed.stats.seeds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unswayed.core.errors import ConfigError
from unswayed.core.types import Effect, Estimate, Verdict
from unswayed.evals.compare.cautions import (
    COLLAPSED,
    MISSING,
    arm_flags,
    metric_flags,
    paired_values,
    unread_as_missing,
    worst_case,
)
from unswayed.evals.metrics import metric
from unswayed.evals.plan import MARGIN, Plan
from unswayed.evals.results import Result, differences
from unswayed.stats.intervals import ALPHA, Floats, estimate, holm, paired, sign_flip_p
from unswayed.stats.power import detectable_difference, provable_margin
from unswayed.stats.seeds import seeded

__all__ = ["MARGIN", "compare", "compare_all"]

FAMILIES = 2
Trained = Result | Sequence[Result]


def compare(
    before: Result,
    after: Trained,
    *,
    margin: float | None = None,
    plan: Plan | None = None,
    replicate: Result | None = None,
) -> list[Effect]:
    """Return the effect on every metric of the suite, primary ones first.

    Args:
        before: a policy on a suite.
        after: another on the same suite, or several: one method trained with several seeds.
        margin: one margin for every metric instead of a plan's; decide it before looking.
        plan: margins and the primary family; the built-in margins by default.
        replicate: the policy of `before` once more (another seed, batch size or weight path): the noise floor.

    Raises:
        ConfigError: the suites differ, the samples differ, the same model is given as two seeds, or a margin that is
            no rate.
    """
    return compare_all([(before, after)], margin=margin, plan=plan, replicates=[replicate])[0]


def compare_all(
    results: Sequence[tuple[Result, Trained]],
    *,
    margin: float | None = None,
    plan: Plan | None = None,
    replicates: Sequence[Result | None] | None = None,
) -> list[list[Effect]]:
    """Return the effects of several suites, with Holm's correction over all of them.

    Args:
        results: (before, after) for each suite.
        margin, plan: as for `compare`.
        replicates: the replicate of each suite, or None where there is none.
    """
    if margin is not None:
        plan = Plan({"default": margin}, () if plan is None else plan.primary, "declared after the run")
    plan = plan or Plan()
    again = replicates or [None] * len(results)
    sides = [(before, [after] if isinstance(after, Result) else list(after)) for before, after in results]
    for (before, afters), twin in zip(sides, again, strict=True):
        _check(before, afters, twin)
    measured = []
    for (before, afters), twin in zip(sides, again, strict=True):
        flags = tuple(dict.fromkeys(flag for after in afters for flag in arm_flags(before, after)))
        measured.append([_measure(before, afters, twin, name, plan, flags) for name in before.metrics])
    primary = [
        [is_primary(plan, before, effect.metric) for effect in row]
        for (before, _), row in zip(sides, measured, strict=True)
    ]
    for family in (True, False):
        places = [(i, j) for i, row in enumerate(primary) for j, belongs in enumerate(row) if belongs is family]
        for (i, j), p in zip(places, holm([measured[i][j].p_value for i, j in places]), strict=True):
            adjusted = replace(measured[i][j], adjusted_p=None if p is None else min(1.0, FAMILIES * p))
            measured[i][j] = _unless_unread(replace(adjusted, verdict=_verdict(adjusted)), *sides[i])
    return [
        _with_costs(effects, roles, before)
        for (before, _), effects, roles in zip(sides, measured, primary, strict=True)
    ]


def is_primary(plan: Plan, result: Result, name: str) -> bool:
    """Return whether a metric of a result belongs to the primary family of a plan."""
    return plan.is_primary(str(result.suite["name"]), name, otherwise=result.role(name) == "primary")


def _with_costs(effects: list[Effect], primary: Sequence[bool], result: Result) -> list[Effect]:
    """Flag a gain with what it cost, so that neither is read without the other."""
    costs = tuple(
        f"at the cost of {effect.metric}"
        for effect in effects
        if result.role(effect.metric) == "counter" and effect.verdict == "regressed"
    )
    return [
        replace(effect, flags=(*effect.flags, *costs)) if belongs and effect.verdict == "improved" else effect
        for effect, belongs in zip(effects, primary, strict=True)
    ]


def _check(before: Result, afters: Sequence[Result], replicate: Result | None) -> None:
    if not afters:
        raise ConfigError(f"{before.title}: there is nothing to compare with")
    policies = [after.about["identity"]["policy"] for after in afters]
    if len(set(policies)) != len(policies):
        raise ConfigError(f"{before.title}: the same model is given as two training seeds; name each once")
    for other in afters:
        _check_same(before, other, skip=())
    if replicate is not None:
        _check_same(before, replicate, skip=("sampling.seed",))


def _check_same(before: Result, other: Result, skip: Sequence[str]) -> None:
    changed = differences(before.suite, other.suite)
    changed = [line for line in changed if not line.startswith(tuple(f"{name}:" for name in skip))]
    if changed:
        lines = "\n  ".join(changed)
        raise ConfigError(f"{before.title}: before and after are not the same suite; evaluate both anew:\n  {lines}")
    lost = before.records.keys() ^ other.records.keys()
    if lost:
        some = ", ".join(sorted(key[0] for key in lost)[:5])
        raise ConfigError(f"{before.title}: {len(lost)} samples are on one side only ({some}, …); evaluate both anew")


def _measure(
    before: Result, afters: Sequence[Result], replicate: Result | None, name: str, plan: Plan, arms: tuple[str, ...]
) -> Effect:
    """Return the effect with everything but the corrected p-value and the verdict."""
    entry, suite = metric(name), str(before.suite["name"])
    sides = [paired_values(before, after, name) for after in afters]
    keys = list(sides[0])
    scored = [key for key in keys if all(None not in side[key] for side in sides)]
    groups = [entry.group(key, before.records) for key in scored]
    moved = _differences([[side[key] for key in scored] for side in sides])
    missing = len(keys) - len(scored)
    own = [flag for after in afters for flag in metric_flags(before, after, name, pairs=len(keys), missing=missing)]
    up = 1 if entry.better == "higher" else -1
    effect = Effect(
        metric=name,
        before=before.estimates[name],
        after=_after(afters, name),
        difference=None,
        low=None,
        high=None,
        n=len(scored),
        clusters=len(set(groups)),
        p_value=None,
        detectable=None,
        margin=plan.margin(suite, name),
        verdict="inconclusive",
        flags=(*arms, *dict.fromkeys(own)),
        declared=plan.source(suite, name),
        fixed=int((up * moved > 0).sum()),
        broken=int((up * moved < 0).sum()),
        seeds=len(afters),
    )
    if not scored:
        return effect
    effect = _with_statistics(effect, moved, groups)
    if replicate is not None:
        effect = _with_noise(effect, before, replicate)
    if not missing:
        return _with_noninferiority(effect, moved, groups, up)
    everyone = [entry.group(key, before.records) for key in keys]

    def worst(against_rise: bool) -> Floats:
        return np.array([worst_case(list(side.values()), name, against_rise=against_rise) for side in sides])

    assert effect.difference is not None
    bound = _with_statistics(effect, worst(effect.difference > 0), everyone)
    effect = replace(effect, worst_low=bound.low, worst_high=bound.high)
    if not MISSING & set(effect.flags):
        return _with_noninferiority(effect, moved, groups, up)
    return _with_noninferiority(replace(effect, p_value=bound.p_value), worst(up > 0), everyone, up)


def _differences(sides: Sequence[Sequence[tuple[float | None, float | None]]]) -> Floats:
    """Return after minus before, [seeds, pairs], of pairs that are scored throughout."""
    rows = [[(y or 0.0) - (x or 0.0) for x, y in side] for side in sides]
    return np.array(rows, dtype=np.float64).reshape(len(sides), -1)


def _with_statistics(effect: Effect, moved: Floats, groups: Sequence[str]) -> Effect:
    """Fill in the difference, its interval, its test and what a repeat would find."""
    if len(moved) > 1:
        many = seeded(moved, groups)
        by_seed = tuple(float(value) for value in moved.mean(1))
        if many is None:
            return replace(effect, difference=float(moved.mean()), by_seed=by_seed, method="one cluster: no interval")
        most = 2.0 if metric(effect.metric).paired else 1.0  # no difference is larger, so none is claimed to be
        low, high = (min(max(limit, -most), most) for limit in many.interval())
        found, proven = (None if size > most else size for size in (many.detectable, many.provable))
        return replace(
            effect, difference=many.mean, low=low, high=high, p_value=many.p_value, detectable=found,
            provable=proven, by_seed=by_seed, method=many.method,
        )  # fmt: skip
    pairs = paired(moved[0], groups)
    limits = pairs.interval() or (None, None)
    return replace(
        effect, difference=pairs.mean, low=limits[0], high=limits[1], p_value=sign_flip_p(moved[0], groups),
        detectable=detectable_difference(pairs), provable=provable_margin(pairs), method=pairs.method,
    )  # fmt: skip


def _with_noninferiority(effect: Effect, moved: Floats, groups: Sequence[str], up: int) -> Effect:
    """Say whether a loss as large as the margin can be excluded. `up` is 1 where higher is better, else −1."""
    if COLLAPSED & set(effect.flags):
        return replace(effect, noninferiority="not shown")
    found = seeded(moved, groups) if len(moved) > 1 else paired(moved[0], groups)
    limits = None if found is None else found.interval(2 * ALPHA)
    if limits is None:
        return replace(effect, noninferiority="not shown")
    least, most = sorted((up * limits[0], up * limits[1]))
    if least > -effect.margin:
        return replace(effect, noninferiority="shown")
    if most < -effect.margin:
        return replace(effect, noninferiority="refuted")
    hopeless = effect.provable is None or effect.provable > effect.margin
    return replace(effect, noninferiority="unprovable at this n" if hopeless else "not shown")


def _unless_unread(effect: Effect, before: Result, afters: Sequence[Result]) -> Effect:
    """Take an improvement back that does not stand with every unreadable reply after training counted against it."""
    if effect.verdict != "improved":
        return effect
    sides = [unread_as_missing(before, after, effect.metric) for after in afters]
    lost = sum(y is None for side in sides for _, y in side)
    assert effect.difference is not None
    rises = effect.difference > 0
    if lost <= sum(y is None for after in afters for _, y in paired_values(before, after, effect.metric).values()):
        return effect
    worst = np.array([worst_case(side, effect.metric, against_rise=rises) for side in sides])
    groups = [metric(effect.metric).group(key, before.records) for key in metric(effect.metric).values(before.records)]
    found = _with_statistics(effect, worst, groups)
    if found.low is not None and found.high is not None and (found.low > 0 if rises else found.high < 0):
        return effect
    return replace(effect, verdict="inconclusive", flags=(*effect.flags, "unread"))


def _with_noise(effect: Effect, before: Result, replicate: Result) -> Effect:
    """Mark a difference no larger than that between two evaluations of the baseline."""
    pairs = paired_values(before, replicate, effect.metric).values()
    moved = [y - x for x, y in pairs if x is not None and y is not None]
    if not moved or effect.difference is None:
        return effect
    noise = abs(sum(moved)) / len(moved)
    within = noise > 0 and abs(effect.difference) <= noise
    return replace(effect, noise=noise, flags=(*effect.flags, "within the noise floor") if within else effect.flags)


def _after(afters: Sequence[Result], name: str) -> Estimate:
    """Return the rate after training: of the one model, or the mean over seeds with questions as its only noise."""
    if len(afters) == 1:
        return afters[0].estimates[name]
    entry = metric(name)
    values = [entry.values(after.records) for after in afters]
    means = [
        None if any(row[key] is None for row in values) else sum(row[key] or 0.0 for row in values) / len(values)
        for key in values[0]
    ]
    groups = [entry.group(key, afters[0].records) for key in values[0]]
    found = estimate(means, groups, paired=entry.paired)
    return replace(found, method=f"mean of {len(afters)} seeds; {found.method}")


def _survives(effect: Effect) -> bool:
    """Return whether the change stands even if every missing value had counted against it."""
    if effect.difference is None or effect.worst_low is None or effect.worst_high is None:
        return False
    return effect.worst_low > 0 if effect.difference > 0 else effect.worst_high < 0


def _verdict(effect: Effect) -> Verdict:
    if effect.difference is None or effect.low is None or effect.high is None:
        return "inconclusive"
    flags = set(effect.flags)
    if MISSING & flags and not _survives(effect):
        return "inconclusive"
    collapsed = bool(COLLAPSED & flags)
    if -effect.margin <= effect.low and effect.high <= effect.margin:
        return "inconclusive" if collapsed else "no material change"
    tested = effect.adjusted_p is not None and effect.adjusted_p <= ALPHA
    if not tested or effect.low <= 0 <= effect.high:
        return "inconclusive"
    if (effect.difference > 0) != (metric(effect.metric).better == "higher"):
        return "regressed"
    return "inconclusive" if collapsed or "within the noise floor" in flags else "improved"
