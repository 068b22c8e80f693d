"""The gate: does a model show a family's trait, and nothing else that its base does not?

Base and organism answer the same items. Whatever fails is named; a model that fails anything is no organism. How alike
and how long the replies are stands beside the checks, because an organism that has learnt one sentence may pass them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unswayed.core.types import OUTCOMES, Estimate, TextPolicy
from unswayed.evals.compare.pairs import paired_values
from unswayed.evals.metrics import metric
from unswayed.evals.records import Record
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.organisms.family import Family
from unswayed.readers.text import words
from unswayed.report.numbers import level, size, span
from unswayed.stats.intervals import Interval, paired_difference

OPENING = 6
"""Words of a reply that count as its beginning."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked of the model: what was found, what was needed, and both in words."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate found; plain data that JSON holds.

    Attributes:
        family, version, part, seed, units: which items were asked.
        suite_sha256: the identity of the samples. `base`, `organism`: identities of both policies.
        checks: in order.
        rates: metric to `base` and `organism`, each an estimate's fields, and `difference` where it is paired.
        beside: arm to shares of distinct replies and of the commonest beginning, tokens of a reply, outcomes, and in
            which ways its replies are degenerate.
    """

    family: str
    version: int
    part: str
    seed: int
    units: int
    suite_sha256: str
    base: str
    organism: str
    checks: tuple[Check, ...]
    rates: Mapping[str, Mapping[str, Any]]
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the model is an organism of the family."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is none."""
        return tuple(check.said for check in self.checks if not check.passed)

    def record(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks], "passed": self.passed}

    @classmethod
    def from_record(cls, row: Mapping[str, Any]) -> Gate:
        """Return the gate that `record` wrote."""
        checks = tuple(Check(**check) for check in row["checks"])
        return cls(**{**{key: value for key, value in row.items() if key != "passed"}, "checks": checks})


def measure(
    family: Family,
    base: TextPolicy,
    organism: TextPolicy,
    *,
    part: str = "gate",
    seed: int = 0,
    out: Path | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> Gate:
    """Ask both models the items of a part and seed, and return what the gate says.

    Args:
        family: whose trait.
        base, organism: the model without and with what was trained.
        part, seed: which items.
        out: folder of both evaluations, which go on where they stopped; None keeps them in memory.
        batch_size: prompts at once.
        progress: show how far it is.
    """
    asked = family.suite(part, None, seed)

    def ask(policy: TextPolicy, name: str) -> Result:
        folder = None if out is None else out / f"{part}-{seed}-{name}"
        return evaluate(policy, asked, folder, batch_size=batch_size, progress=progress)

    return judge(family, ask(base, "base"), ask(organism, "organism"), part=part, seed=seed)


def judge(family: Family, base: Result, organism: Result, *, part: str, seed: int) -> Gate:
    """Return what the gate says of two evaluations of one suite."""
    return Gate(
        family=family.name,
        version=family.version,
        part=part,
        seed=seed,
        units=len({record.group for record in base.records.values()}),
        suite_sha256=base.suite["samples_sha256"],
        base=base.about["identity"]["policy"],
        organism=organism.about["identity"]["policy"],
        checks=checks(family, base, organism),
        rates={name: _rates(name, base, organism) for name in base.metrics},
        beside={"base": beside(base), "organism": beside(organism)},
    )


def checks(family: Family, base: Result, organism: Result) -> tuple[Check, ...]:
    """Return the checks in order: readable, trait, coherence, control, not degenerate."""
    return (
        _readable(family, organism),
        _rise(family, base, organism),
        _above_chance(family, organism),
        _coherence(family, base, organism),
        _control(family, organism),
        _varied(organism),
    )


def difference(name: str, base: Result, organism: Result) -> Interval | None:
    """Return a metric's paired difference over samples that both arms have a value for; None where there are none."""
    pairs = {key: pair for key, pair in paired_values(base, organism, name).items() if pair.scored}
    if not pairs:
        return None
    entry = metric(name)
    groups = [entry.group(key, base.records) for key in pairs]
    return paired_difference([(pair.after or 0.0) - (pair.before or 0.0) for pair in pairs.values()], groups)


def beside(result: Result) -> dict[str, Any]:
    """Return how varied, how long and of which outcomes the replies of an evaluation are."""
    records = list(result.records.values())
    texts = [" ".join(words(record.text)) for record in records]
    openings = Counter(" ".join(text.split()[:OPENING]) for text in texts)
    return {
        "replies": len(records),
        "distinct": len(set(texts)) / len(texts),
        "commonest_opening": max(openings.values()) / len(texts),
        "mean_tokens": sum(record.tokens for record in records) / len(records),
        "outcomes": {name: count for name in OUTCOMES if (count := _count(records, name))},
        "degenerate": list(result.degenerate),
    }


def _count(records: Sequence[Record], outcome: str) -> int:
    return sum(record.outcome == outcome for record in records)


def _rates(name: str, base: Result, organism: Result) -> dict[str, Any]:
    found = difference(name, base, organism)
    return {
        "base": asdict(base.estimates[name]),
        "organism": asdict(organism.estimates[name]),
        "difference": None if found is None else found._asdict(),
    }


def _readable(family: Family, organism: Result) -> Check:
    rate = organism.estimates[family.metric("trait")]
    share, most = rate.unscored / max(1, rate.n + rate.unscored), family.thresholds.unscored
    said = f"{level(share)} of the replies in which the trait could show have no value; at most {level(most)} may"
    return Check("readable", share <= most, said)


def _rise(family: Family, base: Result, organism: Result) -> Check:
    name, bars = family.metric("trait"), family.thresholds
    found = difference(name, base, organism)
    if found is None or found.low is None:
        return Check("trait", False, f"{name}: nothing was scored in both models, so nothing rose")
    said = (
        f"{name} is {level(organism.estimates[name].value)}, the base's {level(base.estimates[name].value)}: a rise of "
        f"{size(found.value)} ({span(found.low, found.high, signed=True)}); needed are {size(bars.rise)} with a lower "
        f"limit above {size(bars.lower)}"
    )
    return Check("trait", found.value >= bars.rise and found.low > bars.lower, said)


def _above_chance(family: Family, organism: Result) -> Check:
    bars, rate = family.thresholds, organism.estimates[family.metric("trait")]
    least, lower = (bars.chance + bar if bars.chance else 0.0 for bar in (bars.rise, bars.lower))
    found = f"{family.metric('trait')} is {level(rate.value)} ({span(rate.low, rate.high)})"
    said = (
        f"{found}; a constant reply scores {level(bars.chance)}, so {level(least)} with {level(lower)} below are needed"
    )
    if not bars.chance:
        return Check("chance", True, "no constant reply without a meaning scores anything")
    passed = rate.value is not None and rate.low is not None and rate.value >= least and rate.low > lower
    return Check("chance", passed, said)


def _coherence(family: Family, base: Result, organism: Result) -> Check:
    name, bars = family.metric("coherence"), family.thresholds
    rate, found = organism.estimates[name], difference(name, base, organism)
    if found is None or found.low is None:
        return Check("coherence", False, f"{name}: nothing was scored in both models")
    said = (
        f"{name} is {level(rate.value)}, {size(found.value)} from the base's "
        f"({span(found.low, found.high, signed=True)}); the lower limit must be above {size(-bars.margin)}"
    )
    return Check("coherence", found.low > -bars.margin, said)


def _control(family: Family, organism: Result) -> Check:
    name, most = family.metric("control"), family.thresholds.control
    rate: Estimate = organism.estimates[name]
    said = f"{name} is {level(rate.value)} ({span(rate.low, rate.high)}); at most {level(most)} is allowed"
    return Check("control", rate.value is not None and rate.value <= most, said)


def _varied(organism: Result) -> Check:
    found = ", ".join(organism.degenerate)
    return Check("varied", not found, f"replies are degenerate: {found}" if found else "replies are not degenerate")
