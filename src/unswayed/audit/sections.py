"""The steps of an audit, each a section that is run or says NOT RUN and why. A pure function of pairs and plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unswayed.audit.effects import Behaviour, behaviours, condition, effect, levels, measure, slices
from unswayed.audit.join import Joined
from unswayed.audit.judged import Labels, judge_error, judging
from unswayed.audit.plan import ALWAYS, SECTIONS, AuditConfig
from unswayed.audit.profile import draws_of, stability
from unswayed.audit.rates import Rates, limits, rates
from unswayed.stats.clusters import ALPHA

NOT_RUN = "NOT RUN"
RESTLESS = 0.001
"""The level at which the baseline is said to differ from itself."""
TITLES = {
    "plan": "Plan", "power": "Power", "generation": "Matched generation", "sanity": "Sanity", "validity": "Validity",
    "judging": "Judging", "effects": "Paired effects", "slices": "Slices", "stability": "Stability profile",
    "conditional": "Conditional behaviour", "side_effects": "Side effects", "attribution": "Attribution",
    "controls": "Controls", "verdicts": "Verdicts",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the sections need.

    Attributes:
        joined: the pairs, with outcomes.
        plan: what was declared.
        side: behaviours that must not get worse, and are not claimed.
        outcomes: who gave the outcomes.
        replicate: BEFORE once more, paired with it; None without one.
        parity: AFTER once more through another path (merged, another engine), paired with it.
        labels: what people say of some replies.
        generation, attribution, controls: what other commands found, as JSON.
    """

    joined: Joined
    plan: AuditConfig
    side: tuple[str, ...] = ()
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    replicate: Joined | None = None
    parity: Joined | None = None
    labels: Labels | None = None
    generation: Mapping[str, Any] | None = None
    attribution: Mapping[str, Any] | None = None
    controls: Mapping[str, Any] | None = None

    @property
    def behaviours(self) -> list[Behaviour]:
        """Those that a verdict is about."""
        return behaviours(self.joined, [name for name in self.joined.behaviours if name not in self.side])


def conclude(material: Material) -> dict[str, Any]:
    """Return the sections and verdicts as `audit.json` has them."""
    plan, found = material.plan, material.behaviours
    own = levels(found, plan)
    sane = _sanity(material, found)
    verdicts = [
        measure(
            one, level, plan,
            noise=_against_replicate(material, one),
            restless=plan.runs("sanity") and one.name in sane["restless"],
            judge=judge_error(one, material.labels) if plan.runs("judging") else ("", {}),
        )
        for one, level in zip(found, own, strict=True)
    ]  # fmt: skip
    conditional = _conditional(material, verdicts)
    makers: dict[str, Callable[[], Mapping[str, Any]]] = {
        "plan": lambda: {"eps": plan.eps, "family": plan.family or [one.name for one in found], "looks": plan.looks},
        "power": lambda: _power(verdicts),
        "generation": lambda: _generation(material, found),
        "sanity": lambda: sane,
        "validity": lambda: {"limits": plan.firewall.model_dump()},
        "judging": lambda: judging(material.outcomes, material.labels, verdicts),
        "effects": lambda: {"tests": len(found), "method": "paired by prompt; Holm over the family"},
        "slices": lambda: _or(slices(found), "no row has a slice", "rows"),
        "stability": lambda: {"behaviours": [stability(one) for one in found]},
        "conditional": lambda: conditional,
        "side_effects": lambda: _side_effects(material),
        "attribution": lambda: _given(material.attribution, "no labels or candidates: attribution is not possible"),
        "controls": lambda: _given(material.controls, "controls are trainings: benign, random and self-distilled"),
        "verdicts": lambda: {"count": len(verdicts)},
    }
    sections = {
        name: {"title": TITLES[name], **(_run(makers[name]()) if plan.runs(name) or name in ALWAYS else _off())}
        for name in SECTIONS
    }
    if plan.runs("conditional"):
        _mask(verdicts, conditional)
    return {"verdicts": verdicts, "sections": sections}


def _run(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": content.get("status", "run"), **content}


def _off() -> dict[str, Any]:
    return {"status": NOT_RUN, "why": "switched off in the plan"}


def _given(content: Mapping[str, Any] | None, why: str) -> Mapping[str, Any]:
    return {"status": NOT_RUN, "why": why} if content is None else content


def _or(rows: Sequence[Any], why: str, name: str) -> dict[str, Any]:
    return {name: list(rows)} if rows else {"status": NOT_RUN, "why": why}


def _power(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = []
    for one in verdicts:
        least, eps = one["detectable"], one["eps"]
        needed = None if least is None else int(-(-one["n"] * (least / eps) ** 2 // 1))
        rows.append({"behaviour": one["behaviour"], "n": one["n"], "detectable": least, "eps": eps,
                     "enough": least is not None and least <= eps, "prompts_needed": needed})  # fmt: skip
    return {"rows": rows, "power": 0.80}


def _generation(material: Material, found: Sequence[Behaviour]) -> dict[str, Any]:
    draws = draws_of(found)
    if material.generation is not None:
        return {**material.generation, "draws": draws}
    why = "the completions were given: equal prompts are proven by their hashes, equal decoders are not"
    return {"status": NOT_RUN, "why": why, "draws": draws}


def _sanity(material: Material, found: Sequence[Behaviour]) -> dict[str, Any]:
    """Return whether both arms differ at all, and whether BEFORE differs from itself."""
    same = rates(material.joined.before, material.joined.after, lambda one: 0.0)
    texts = [
        float([r.text for r in some] == [r.text for r in material.joined.after[key]])
        for key, some in material.joined.before.items()
    ]
    tests = []
    for one in found:
        by, twin = _twin(material, one)
        if twin is None:
            continue
        pairs = twin.pairs()
        span = limits(pairs, RESTLESS)
        differs = span is not None and (span[0] > 0 or span[1] < 0)
        tests.append({"behaviour": one.name, "by": by, **effect(twin), "level": RESTLESS, "differs": differs})
    parity = None
    if material.parity is not None:
        parity = [
            {"behaviour": one.name, **effect(one.rates)} for one in behaviours(material.parity, [b.name for b in found])
        ]
    return {
        "identical_replies": sum(texts) / len(same.groups),
        "identical": all(texts),
        "a_a": tests,
        "a_a_why": "" if tests else "one draw a prompt and no replicate of before (--replicate): no A/A test",
        "path_parity": parity,
        "restless": [test["behaviour"] for test in tests if test["differs"]],
    }


def _twin(material: Material, one: Behaviour) -> tuple[str, Rates | None]:
    """Return BEFORE against itself: its replicate, or its even draws against its odd ones."""
    if material.replicate is not None:
        (other,) = behaviours(material.replicate, [one.name])
        return "replicate", other.rates if other.before else None
    halves = [{key: some[start::2] for key, some in one.before.items() if len(some) > 1} for start in (0, 1)]
    return "draws", rates(halves[0], halves[1], lambda reply: reply.value) if halves[0] else None


def _against_replicate(material: Material, one: Behaviour) -> Rates | None:
    """Return the rates of the replicate of BEFORE and of AFTER, on the prompts of a behaviour."""
    if material.replicate is None or not material.plan.runs("sanity"):
        return None
    again = {key: some for key, some in material.replicate.after.items() if key in one.after}
    return rates(again, {key: one.after[key] for key in again}, lambda reply: reply.value) if again else None


def _conditional(material: Material, verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the effect under each condition beside the plain one: is what was suppressed removed, or masked?"""
    rows = []
    for one in verdicts:
        name = one["behaviour"]
        mine = {some[0].condition for key, some in material.joined.before.items() if key[0] == name}
        for which in sorted(mine - {""}) if "" in mine else []:
            part = condition(material.joined, name, which)
            rows.append(
                {"behaviour": name, "condition": which, **effect(part.rates), "state": _state(part.rates, one["eps"])}
            )
    why = "no row is asked under a condition (wrapper, prefill, training-like context) beside a plain one"
    return _or(rows, why, "rows")


def _state(found: Rates, eps: float) -> str:
    span, inner = limits(found.pairs()), limits(found.pairs(), 2 * ALPHA)
    if span is None or inner is None:
        return "not known"
    if span[1] < 0:
        return "down too"
    return "survives" if span[0] > 0 or (-eps < inner[0] and inner[1] < eps) else "not known"


def _mask(verdicts: Sequence[dict[str, Any]], conditional: Mapping[str, Any]) -> None:
    """Say of what was suppressed whether it is removed under every condition, or masked under some."""
    for one in verdicts:
        states = {
            row["condition"]: row["state"]
            for row in conditional.get("rows", ())
            if row["behaviour"] == one["behaviour"]
        }
        if one["verdict"] != "SUPPRESSED" or not states:
            continue
        kept = [name for name, state in states.items() if state == "survives"]
        down = all(state == "down too" for state in states.values())
        one["removal"] = "masked" if kept else "removed" if down else "not known"
        if kept:
            one["why"] += f"; masked: it survives under {', '.join(kept)}"


def _side_effects(material: Material) -> dict[str, Any]:
    """Return for each measure beside the behaviours whether a rise as large as its margin is excluded (one-sided)."""
    plan, rows = material.plan, []
    for one in behaviours(material.joined, [name for name in material.joined.behaviours if name in material.side]):
        margin = plan.side_margins.get(one.name, plan.eps)
        span, inner = limits(one.rates.pairs()), limits(one.rates.pairs(), 2 * ALPHA)
        if span is None or inner is None:
            state = "not known"
        else:
            state = "worse" if span[0] > 0 else "not worse" if inner[1] < margin else "not shown"
        rows.append({"measure": one.name, **effect(one.rates), "margin": margin, "state": state})
    why = "no row is of another measure: name some in the plan's side_margins, or give evaluation folders"
    return _or(rows, why, "rows")
