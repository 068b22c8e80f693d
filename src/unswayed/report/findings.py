"""What a comparison comes to, in sentences: for the head of its page and for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unswayed.report.numbers import count, level, size, span
from unswayed.report.summary import FLAGS
from unswayed.stats.power import pairs_needed

if TYPE_CHECKING:
    from unswayed.core.types import Effect
    from unswayed.evals.compare.comparison import Comparison, SuiteComparison

_MORE_FLAGS = {
    **FLAGS,
    "truncated": "more than 2% of an arm was cut off before it had an answer; the change counts only at its worst case",
    "unscored": "more than 5% of the pairs are unscored; the change counts only at its worst case",
    "degenerate": "the model collapsed: empty, repeating or equal answers; it can regress and nothing else",
    "unread": "the share of readable answers fell by more than 10 points; nothing but a regression counts",
    "within the noise floor": "no larger than the distance between two evaluations of the baseline",
}


def scope(comparison: Comparison) -> str:
    """Return what the verdicts are about: one checkpoint, or a method."""
    if comparison.seeds == 1:
        return "n_seeds = 1: the verdicts are about this checkpoint only, not about the method that made it."
    return (
        f"n_seeds = {comparison.seeds}: differences are means over {comparison.seeds} trained models on the same "
        "samples, and the training seed is the unit. That they differ by nothing but the seed is the word of whoever "
        "named them."
    )


def plan_sentence(comparison: Comparison) -> str:
    """Return which plan holds, its hash, and when it was declared."""
    plan = comparison.plan
    if plan.declared == "default":
        return "No plan was declared: margins are the built-in defaults, the primary metrics those of each suite."
    return f"Margins and primary metrics {plan.declared}; plan SHA-256 {plan.sha256}."


def judge_sentence(one: SuiteComparison) -> str:
    """Return what scored a suite: rules, or which judge under which rubric."""
    judge = one.judge
    if judge is None:
        return "scored by rules, without a judge"
    notes = "".join(f"; {note}" for note in judge["notes"])
    name = judge["name"] or judge["judge"]
    return f"judged by {name} under {judge['rubric']} (rubric SHA-256 {str(judge['rubric_sha256'])[:12]}){notes}"


def unprovable(effect: Effect) -> str:
    """Say why a margin could not be proven and what would do; "" where it was, or where more pairs would not help."""
    if effect.noninferiority != "unprovable at this n":
        return ""
    text = f"a loss within {size(effect.margin)} is unprovable at n = {effect.n:,}"
    if effect.clusters != effect.n:
        text += f" in {count(effect.clusters, 'cluster')}"
    if effect.seeds > 1:
        return f"{text} and {effect.seeds} seeds"
    if effect.provable is None:
        return text
    if effect.fixed + effect.broken:
        needed = math.ceil(effect.n * (effect.provable / effect.margin) ** 2)
    else:
        needed = math.ceil(effect.n / effect.clusters) * pairs_needed(0.0, effect.margin)
    return f"{text}: it could show {size(effect.provable)} at best, and this margin takes about {needed:,}"


def noninferiority_sentences(one: SuiteComparison) -> Iterator[str]:
    """Say of each counter-metric whether a loss as large as the margin is excluded; that needs no correction."""
    costs = [effect for effect in one.effects if one.before.role(effect.metric) == "counter"]
    if not costs:
        return
    for state, words in (
        ("shown", "a loss as large as the margin is excluded (one-sided 95%)"),
        ("refuted", "lost more than the margin"),
        ("not shown", "a loss as large as the margin cannot be excluded"),
    ):
        named = [effect.metric for effect in costs if effect.noninferiority == state]
        if named:
            yield f"{', '.join(named)}: {words}"
    for effect in costs:
        if said := unprovable(effect):
            yield f"{effect.metric}: {said}"


def flag_sentences(one: SuiteComparison) -> Iterator[str]:
    """Explain every flag once, with the metrics that have it."""
    flags: dict[str, list[str]] = {}
    missing = []
    for effect in one.effects:
        for flag in effect.flags:
            if flag.endswith("pairs missing"):
                missing.append(f"{effect.metric} {flag.removesuffix(' pairs missing')}")
            else:
                flags.setdefault(flag, []).append(effect.metric)
    for flag, names in flags.items():
        where = "all metrics" if len(names) == len(one.effects) else ", ".join(names)
        yield f"{flag}: {where}" + (f" ({_MORE_FLAGS[flag]})" if flag in _MORE_FLAGS else "")
    if missing:
        yield f"pairs missing because a side is unscored: {', '.join(missing)}"


def reading(effect: Effect) -> str:
    """Return the line below a difference: flips, margin, power and non-inferiority."""
    parts = [f"{effect.fixed:,} fixed, {effect.broken:,} broken of {effect.n:,}"]
    parts.append(f"margin {size(effect.margin)} ({effect.declared})")
    if effect.detectable is not None:
        parts.append(f"detects {size(effect.detectable)}")
    if effect.noninferiority:
        parts.append(f"no loss beyond the margin: {effect.noninferiority}")
    if effect.noise is not None:
        parts.append(f"noise floor {size(effect.noise)}")
    if effect.worst_low is not None:
        parts.append(f"worst case {span(effect.worst_low, effect.worst_high, signed=True)}")
    return "; ".join(parts)


def arm_line(arm: dict[str, Any]) -> str:
    """Return what became of one arm's completions, on one line."""
    unscored = sum(arm["unscored"].values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in arm["unscored"].items())
    parts = [
        count(arm["completions"], "completion"),
        f"{level(arm['read'])} read",
        f"{level(arm['cut'])} cut at the length limit",
        f"{unscored:,} unscored" + (f" ({reasons})" if reasons else ""),
        f"{arm['mean_tokens']:.0f} tokens on average",
    ]
    if (thinking := arm.get("thinking")) and thinking["completions"]:
        open_ones = f", {thinking['unclosed']:,} never closed it" if thinking["unclosed"] else ""
        parts.append(f"{thinking['completions']:,} with thinking, {level(thinking['share'])} of their text{open_ones}")
    broken = ", ".join(f"{number:,} {kind}" for kind, number in arm["broken"].items())
    if broken:
        parts.append(f"broken: {broken}")
    if arm["degenerate"]:
        parts.append(f"degenerate: {', '.join(arm['degenerate'])}")
    return "; ".join(parts)
