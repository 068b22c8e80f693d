"""Before and after on the same samples: paired effects, and what may be concluded from them.

Each metric gets the paired difference with its 95% interval, the p-value that belongs to it, the smallest change a
repeat would find, and a verdict by the rule of `unswayed.stats.decisions`: *worse* where the interval lies wholly on
the wrong side of zero; *improved* where the interval adjusted for the claims lies wholly on the right side; *no
material change* where it lies inside the margin; else *not known*; and each must stand with the missing pairs counted
against it.

A margin is declared in a plan. The claims of improvement that are made at once are the primary metrics of all suites;
what improves elsewhere is adjusted for the number of all other metrics. Where nothing changed at all, at most one audit
in twenty claims an improvement, and at most one row in forty is called worse.

A caution stands beside a verdict and replaces it only where it could turn the sign: a model that newly collapsed, or
can no longer be read, did not improve; nor is a gain one that does not hold against the replicate of a baseline which
differs from itself. With fewer than ten effective clusters no verdict is given at all.

Beside the verdict stands non-inferiority: may a loss as large as the margin be excluded, by the one-sided 95% bound?
Where it may not, and a repeat of this size could not prove it even if nothing changed, that is said. One trained model
is one checkpoint, and a verdict is about that; with several, of different training seeds, the seed is the unit and the
verdict is about the method (`unswayed.stats.seeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unswayed.core.errors import ConfigError
from unswayed.core.types import Effect, Estimate
from unswayed.evals.compare.cautions import FEW, TURNING, arm_flags, metric_flags
from unswayed.evals.compare.pairs import Pair, differences, paired_values
from unswayed.evals.metrics import metric
from unswayed.evals.metrics.base import Key
from unswayed.evals.plan import MARGIN, Plan
from unswayed.evals.results import Result
from unswayed.evals.results import differences as changed
from unswayed.stats.clusters import ALPHA, Floats
from unswayed.stats.decisions import Evidence, Limits, adjusted, claim_level, decide
from unswayed.stats.intervals import estimate
from unswayed.stats.paired import Pairs, paired
from unswayed.stats.power import detectable_difference, provable_margin
from unswayed.stats.seeds import Seeds, seeded

__all__ = ["MARGIN", "compare", "compare_all"]

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
        plan: margins and the primary metrics; the built-in margins by default.
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
    """Return the effects of several suites; the primary metrics of all of them are claims that are made at once.

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
    primary = [[is_primary(plan, before, name) for name in before.metrics] for before, _ in sides]
    claims = {role: sum(belongs is role for row in primary for belongs in row) for role in (True, False)}
    return [
        _with_costs(
            [
                _measure(before, afters, twin, name, plan, claims[belongs])
                for name, belongs in zip(before.metrics, row, strict=True)
            ],
            row,
            before,
        )
        for (before, afters), twin, row in zip(sides, again, primary, strict=True)
    ]


def is_primary(plan: Plan, result: Result, name: str) -> bool:
    """Return whether a metric of a result is one that the claim rests on."""
    return plan.is_primary(str(result.suite["name"]), name, otherwise=result.role(name) == "primary")


def _with_costs(effects: list[Effect], primary: Sequence[bool], result: Result) -> list[Effect]:
    """Flag a gain with what it cost, so that neither is read without the other."""
    costs = tuple(
        f"at the cost of {effect.metric}"
        for effect in effects
        if result.role(effect.metric) == "counter" and effect.verdict == "worse"
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
    lines = [line for line in changed(before.suite, other.suite) if not line.startswith(tuple(f"{n}:" for n in skip))]
    if lines:
        listed = "\n  ".join(lines)
        raise ConfigError(f"{before.title}: before and after are not the same suite; evaluate both anew:\n  {listed}")
    lost = before.records.keys() ^ other.records.keys()
    if lost:
        some = ", ".join(sorted(key[0] for key in lost)[:5])
        raise ConfigError(f"{before.title}: {len(lost)} samples are on one side only ({some}, …); evaluate both anew")


def _measure(
    before: Result, afters: Sequence[Result], replicate: Result | None, name: str, plan: Plan, claims: int
) -> Effect:
    """Return the effect on one metric with its verdict."""
    entry, suite = metric(name), str(before.suite["name"])
    up = 1 if entry.better == "higher" else -1
    sides = [paired_values(before, after, name) for after in afters]
    keys = list(sides[0])
    scored = [key for key in keys if all(side[key].scored for side in sides)]
    moved = differences(sides, scored)
    everyone = [entry.group(key, before.records) for key in keys]
    groups = [entry.group(key, before.records) for key in scored]
    missing = len(keys) - len(scored)
    own = [flag for after in afters for flag in metric_flags(before, after, name, pairs=len(keys), missing=missing)]
    arms = [flag for after in afters for flag in arm_flags(before, after)]
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
        verdict="not known",
        flags=tuple(dict.fromkeys([*arms, *own])),
        declared=plan.source(suite, name),
        fixed=int((up * moved > 0).sum()),
        broken=int((up * moved < 0).sum()),
        seeds=len(afters),
        claims=claims,
    )
    if not scored:
        return effect
    found, level = _spread(moved, groups), claim_level(claims)
    effect = replace(
        effect,
        difference=float(moved.mean()),
        by_seed=tuple(float(value) for value in moved.mean(1)) if len(moved) > 1 else (),
        paired_before=_mean(sides, scored, "before"),
        paired_after=_mean(sides, scored, "after"),
        counted_difference=float(differences(sides, keys, "zero").mean()),
        method="one cluster: no interval" if found is None else found.method,
    )
    plain = _limits(found, ALPHA, name)
    if found is None or plain is None:
        return replace(effect, flags=(*effect.flags, FEW))
    filled = {way: _spread(differences(sides, keys, way), everyone) for way in ("least", "most", "zero", "one")}
    if not missing and all(np.array_equal(differences(sides, keys, way), moved) for way in filled):
        filled = {}

    def limits(ways: Sequence[str], alpha: float) -> list[Limits]:
        each = [_limits(filled[way], alpha, name) for way in ways if way in filled]
        return [one for one in each if one is not None]

    evidence = Evidence(
        plain,
        _limits(found, level, name) or plain,
        limits(("least", "most"), ALPHA),
        limits(("least", "most"), level),
        limits(("zero", "one"), ALPHA),
    )
    raw, p_adjusted = found.p_value, adjusted(found.p_value, claims)
    gain, harm, provable = _sizes(found, level, name)
    effect = replace(
        effect,
        low=plain[0],
        high=plain[1],
        p_value=raw,
        adjusted_p=p_adjusted,
        adjusted_low=evidence.claimed[0],
        adjusted_high=evidence.claimed[1],
        deciding_p=p_adjusted if up * (effect.difference or 0.0) > 0 else raw,
        worst_low=evidence.hull[0] if filled else None,
        worst_high=evidence.hull[1] if filled else None,
        effective_clusters=found.effective,
        detectable=gain,
        detectable_harm=harm,
        provable=provable,
    )
    effect = replace(effect, verdict=decide(evidence, up=up, margin=effect.margin))
    if replicate is not None:
        effect = _with_noise(effect, before, afters, replicate, level)
    effect = _with_noninferiority(effect, [found, *(filled[way] for way in ("zero", "one") if way in filled)], up)
    return _with_cautions(effect, before, afters, everyone, level, few=found.few)


def _spread(moved: Floats, groups: Sequence[str]) -> Pairs | Seeds | None:
    """Return what differences [models, pairs] come to; None with a single cluster."""
    if len(moved) > 1:
        return seeded(moved, groups)
    found = paired(moved[0], groups)
    return None if found.clusters < 2 else found


def _limits(found: Pairs | Seeds | None, alpha: float, name: str) -> Limits | None:
    """Return an interval, no wider than differences can be."""
    limits = None if found is None else found.interval(alpha)
    if limits is None:
        return None
    most = 2.0 if metric(name).paired else 1.0
    return max(limits[0], -most), min(limits[1], most)


def _mean(sides: Sequence[Mapping[Key, Pair]], keys: Sequence[Key], which: str) -> float:
    return float(differences(sides, keys, which).mean())


def _sizes(found: Pairs | Seeds, level: float, name: str) -> list[float | None]:
    """Return the smallest improvement, loss and margin that a repeat would find; None where none that there can be."""
    most = 2.0 if metric(name).paired else 1.0
    if isinstance(found, Pairs):
        sizes: list[float | None] = [
            detectable_difference(found, level), detectable_difference(found), provable_margin(found)
        ]  # fmt: skip
    else:
        sizes = [found.detectable(level), found.detectable(), found.provable]
    return [None if size is None or size > most else size for size in sizes]


def _with_noninferiority(effect: Effect, found: Sequence[Pairs | Seeds | None], up: int) -> Effect:
    """Say whether a loss as large as the margin can be excluded, also with missing values counted alike."""
    limits = [one.interval(2 * ALPHA) for one in found if one is not None and not one.few]
    known = [one for one in limits if one is not None]
    if {"degenerate", "unread"} & set(effect.flags) or len(known) < len(found):
        return replace(effect, noninferiority="not shown")
    if min(min(up * low, up * high) for low, high in known) > -effect.margin:
        return replace(effect, noninferiority="shown")
    if max(max(up * low, up * high) for low, high in known) < -effect.margin:
        return replace(effect, noninferiority="refuted")
    hopeless = effect.provable is None or effect.provable > effect.margin
    return replace(effect, noninferiority="unprovable at this n" if hopeless else "not shown")


def _with_noise(effect: Effect, before: Result, afters: Sequence[Result], replicate: Result, level: float) -> Effect:
    """Add how far the baseline is from itself, and flag a gain that does not hold against the replicate as well.

    Only a replicate whose interval excludes zero differs from the baseline; the distance of one that may be equal is
    chance, which every interval has in it already.
    """
    pairs = [pair for pair in paired_values(before, replicate, effect.metric).items() if pair[1].scored]
    if not pairs:
        return effect
    entry = metric(effect.metric)
    found = _spread(
        np.array([[(pair.after or 0.0) - (pair.before or 0.0) for _, pair in pairs]]),
        [entry.group(key, before.records) for key, _ in pairs],
    )
    mean = sum((pair.after or 0.0) - (pair.before or 0.0) for _, pair in pairs) / len(pairs)
    limits = _limits(found, ALPHA, effect.metric)
    effect = replace(effect, noise=abs(mean))
    if limits is None:
        return effect
    effect = replace(effect, noise_low=limits[0], noise_high=limits[1])
    if limits[0] <= 0 <= limits[1]:
        return effect
    again = [paired_values(replicate, after, effect.metric) for after in afters]
    keys = [key for key in again[0] if all(side[key].scored for side in again)]
    groups = [entry.group(key, before.records) for key in keys]
    rest = _limits(_spread(differences(again, keys), groups), level, effect.metric) if keys else None
    sign = 1 if (effect.difference or 0.0) > 0 else -1
    holds = rest is not None and (rest[0] > 0 if sign > 0 else rest[1] < 0)
    return effect if holds else replace(effect, flags=(*effect.flags, "within the noise floor"))


def _with_cautions(
    effect: Effect, before: Result, afters: Sequence[Result], groups: Sequence[str], level: float, *, few: bool
) -> Effect:
    """Replace a verdict by *not known* where a caution could turn its sign."""
    if few:
        return replace(effect, verdict="not known", flags=(*effect.flags, FEW))
    if effect.verdict in ("worse", "not known"):
        return effect
    if TURNING & set(effect.flags):
        return replace(effect, verdict="not known")
    if effect.verdict == "improved" and not _stands_unread(effect, before, afters, groups, level):
        return replace(effect, verdict="not known", flags=(*effect.flags, "unread"))
    return effect


def _stands_unread(
    effect: Effect, before: Result, afters: Sequence[Result], groups: Sequence[str], level: float
) -> bool:
    """Return whether a gain stands with every reply that became unreadable counted against it."""
    if metric(effect.metric).group_value is not None:
        return True
    sides = [paired_values(before, after, effect.metric, unread=True) for after in afters]
    rises = (effect.difference or 0.0) > 0
    worst = differences(sides, list(sides[0]), "least" if rises else "most")
    limits = _limits(_spread(worst, groups), level, effect.metric)
    return limits is not None and (limits[0] > 0 if rises else limits[1] < 0)


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
