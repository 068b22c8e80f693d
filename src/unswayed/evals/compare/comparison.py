"""A whole comparison as plain data: what `compare.json` holds and what its page shows; neither adds anything.

Text of prompts and replies of a sensitive suite is replaced by its hash here, before anything that writes gets to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from unswayed._version import __version__
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_text
from unswayed.core.types import Effect
from unswayed.evals.compare.compare import compare_all, is_primary
from unswayed.evals.compare.flips import Drawn, draw_flips, flips, redacted
from unswayed.evals.metrics import metric
from unswayed.evals.plan import Plan
from unswayed.evals.results import Result
from unswayed.evals.rule_errors import corrected, known_error

FORMAT = 2
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a suite the training pairs hold, in words and as data; `watched` if probes were taken from it."""

    sentence: str = "overlap with the training pairs: not checked"
    details: Mapping[str, Any] = field(default_factory=dict)
    watched: bool = False


@dataclass(frozen=True, slots=True)
class SuiteComparison:
    """One suite before and after.

    Attributes:
        effects: for each arm those on every metric, primary ones first. `primary`: which of these metrics are claims.
        fixed, broken: samples that moved, drawn at random; of a sensitive suite without their texts.
        hidden: whether texts are left out.
    """

    before: Result
    afters: tuple[Result, ...]
    effects: tuple[tuple[Effect, ...], ...]
    primary: tuple[bool, ...]
    fixed: Drawn
    broken: Drawn
    hidden: bool
    overlap: Overlap = field(default_factory=Overlap)

    @property
    def title(self) -> str:
        """The suite's name and label."""
        return self.before.title

    @property
    def judge(self) -> Mapping[str, Any] | None:
        """Name, identity and rubric of the judge, with notes on how far it may be trusted; None where rules decided."""
        asked = self.before.suite.get("judged")
        if not asked:
            return None
        said = [dict(side.about.get("judge") or {}) for side in self.sides]
        notes = list(dict.fromkeys(note for one in said for note in one.get("notes", ())))
        return {"name": said[0].get("name", ""), **asked, "notes": notes}

    @property
    def sides(self) -> tuple[Result, ...]:
        """The result before and those after."""
        return (self.before, *self.afters)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about one comparison.

    Attributes:
        plan: what it was made under. `departures`: where it differs from what was declared.
        suites: one for each suite.
        seeds: trained models of one method that the differences are averaged over; with 1 each model is an arm.
        alone: suites that not every folder has, each with the names of those that have it.
        seed: decides which transcripts are drawn.
        replicate: name of the policy that the noise floor comes from, or "".
        sensitive_shown: texts of sensitive suites are in it, because somebody asked.
    """

    plan: Plan
    departures: tuple[str, ...]
    suites: tuple[SuiteComparison, ...]
    seeds: int = 1
    alone: tuple[tuple[str, tuple[str, ...]], ...] = ()
    seed: int = 0
    replicate: str = ""
    sensitive_shown: bool = False

    @property
    def before(self) -> str:
        """Name of the policy before training."""
        return self.suites[0].before.policy

    @property
    def afters(self) -> tuple[str, ...]:
        """Names of the policies after training."""
        return tuple(after.policy for after in self.suites[0].afters)

    @property
    def arms(self) -> tuple[str, ...]:
        """What each arm is called: a policy, or all seeds of a method together."""
        return self.afters if self.seeds == 1 else (f"{', '.join(self.afters)}",)


def make_comparison(
    results: Sequence[tuple[Result, Sequence[Result]]],
    plan: Plan,
    departures: Sequence[str] = (),
    *,
    replicates: Sequence[Result | None] | None = None,
    overlaps: Sequence[Overlap] | None = None,
    as_seeds: bool = False,
    alone: Sequence[tuple[str, Sequence[str]]] = (),
    seed: int = 0,
    shown: int = SHOWN,
    show_sensitive: bool = False,
) -> Comparison:
    """Compare suites under a plan and draw the transcripts to show.

    Args:
        results: (before, one or several after) of each suite.
        departures: sentences about where this is not what was declared.
        replicates: the baseline once more, by suite.
        overlaps: what the training pairs hold of each suite.
        as_seeds: several after are one method, trained with as many seeds; else each is compared by itself.
        alone: suites that not every side has, and who has them.
        seed, shown: how many transcripts in each direction, and how they are drawn.
        show_sensitive: keep the texts of suites marked as sensitive.

    Raises:
        ConfigError: as `compare_all`, or nothing to compare.
    """
    if not results:
        raise ConfigError("there is no suite to compare")
    count = len(results[0][1])
    arms = [slice(0, count)] if as_seeds else [slice(number, number + 1) for number in range(count)]
    by_arm = [
        compare_all([(before, afters[arm]) for before, afters in results], plan=plan, replicates=replicates)
        for arm in arms
    ]
    effects = [tuple(tuple(of_arm[number]) for of_arm in by_arm) for number in range(len(results))]
    suites = []
    for (before, afters), found, overlap in zip(results, effects, overlaps or [Overlap()] * len(results), strict=True):
        hidden = any(side.sensitive for side in (before, *afters)) and not show_sensitive
        names = [name for name in before.metrics if before.role(name) != "health"]
        drawn = []
        for fixed in (True, False):
            address = f"{hash_text(before.title)}/{'fixed' if fixed else 'broken'}"
            one = draw_flips(flips(before, afters, names, fixed=fixed), count=shown, seed=seed, address=address)
            drawn.append(Drawn(tuple(map(redacted, one.shown)), one.pool) if hidden else one)
        primary = tuple(is_primary(plan, before, effect.metric) for effect in found[0])
        suites.append(SuiteComparison(before, tuple(afters), found, primary, drawn[0], drawn[1], hidden, overlap))
    measured = [(str(one.before.suite["name"]), name) for one in suites for name in one.before.metrics]
    lost = [f"The plan names {name}, which was not measured." for name in plan.unmeasured(measured)]
    again = next((one.policy for one in replicates or () if one is not None), "")
    sensitive = show_sensitive and any(side.sensitive for one in suites for side in one.sides)
    return Comparison(
        plan, (*departures, *lost), tuple(suites), count if as_seeds else 1,
        tuple((name, tuple(who)) for name, who in alone), seed, again, sensitive,
    )  # fmt: skip


def arm_counts(result: Result) -> dict[str, Any]:
    """Return what became of one arm's completions: read, cut off, unscored by reason, broken, thinking."""
    summary = result.summary()
    return {
        "policy": result.policy,
        "identity": result.about["identity"]["policy"],
        "completions": summary["completions"],
        "read": result.estimates["parse_rate"].value,
        "cut": result.estimates["truncation_rate"].value,
        "unscored": summary["unscored"],
        "no_answer": summary["no_answer"],
        "broken": summary["broken"],
        "degenerate": summary["degenerate"],
        "mean_tokens": summary["tokens"] / max(summary["completions"], 1),
        "thinking": summary.get("thinking"),
    }


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return what `compare.json` holds: every number and no text of a prompt or reply."""
    plan = comparison.plan
    value = {
        "format": FORMAT,
        "unswayed": __version__,
        "before": comparison.before,
        "after": list(comparison.afters),
        "seeds": comparison.seeds,
        "replicate": comparison.replicate or None,
        "only_in": dict(comparison.alone),
        "plan": {**plan.record(), "declared": plan.declared},
        "departures": list(comparison.departures),
        "suites": [_suite(one, comparison) for one in comparison.suites],
    }
    clean: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return clean


def _error(one: SuiteComparison, effect: Effect) -> dict[str, Any]:
    """Return the rule's known error and what the rates would be without it, where it is known."""
    known = known_error(one.before.suite, effect.metric)
    if known is None:
        return {"rule_error": None, "corrected": None}
    rates = {name: corrected(side, known) for name, side in (("before", effect.before), ("after", effect.after))}
    return {
        "rule_error": known._asdict(),
        "corrected": {name: rate and rate._asdict() for name, rate in rates.items()},
    }


def _suite(one: SuiteComparison, comparison: Comparison) -> dict[str, Any]:
    effects = [
        {
            **asdict(effect),
            "arm": arm,
            "primary": primary,
            "better": metric(effect.metric).better,
            **_error(one, effect),
        }
        for arm, found in zip(comparison.arms, one.effects, strict=True)
        for effect, primary in zip(found, one.primary, strict=True)
    ]
    return {
        "suite": one.title,
        "before": one.before.policy,
        "after": one.afters[0].policy if len(one.afters) == 1 else [after.policy for after in one.afters],
        "unit": one.before.about["unit"],
        "part": one.before.suite["arguments"].get("part", "all"),
        "sensitive": any(side.sensitive for side in one.sides),
        "judge": one.judge,
        "contamination": dict(one.overlap.details),
        "arms": {"before": arm_counts(one.before), "after": [arm_counts(after) for after in one.afters]},
        "transcripts": {
            "seed": comparison.seed,
            **{
                name: {"of": drawn.pool, "ids": [[flip.before.id, flip.before.draw] for flip in drawn.shown]}
                for name, drawn in (("fixed", one.fixed), ("broken", one.broken))
            },
        },
        "effects": effects,
    }
