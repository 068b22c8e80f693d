"""What is decided before anything is measured: how large a change matters, and which metrics the claim rests on.

A plan is a `[plan]` table, in a recipe or in a file of its own:

    [plan]
    primary = ["hint_following", "capability/gsm8k:accuracy"]    # default: each suite's own primary metrics

    [plan.margins]
    default = 0.05                     # every metric that nothing below names
    accuracy_clean = 0.02              # a metric, in every suite
    "capability/gpqa" = 0.05           # a suite, every metric of it
    "capability/gsm8k:accuracy" = 0.02 # one metric of one suite

The most particular entry wins. `unswayed eval --plan` writes the plan into the evaluation before the first sample is
drawn; a comparison under that plan is *declared before the run*, under any other margin *declared after the run*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unswayed.config.document import Document, read_toml
from unswayed.config.fields import science
from unswayed.config.recipe import PlanConfig
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.jsonl import loads

Declared = Literal["default", "declared before the run", "declared after the run"]

MARGIN = 0.05
BENCHMARK_MARGINS: Mapping[str, float] = {
    "capability/mmlu": 0.02,
    "capability/gsm8k": 0.02,
    "capability/truthfulqa": 0.03,
    "capability/ifeval": 0.03,
    "capability/math500": 0.03,
    "capability/gpqa": 0.05,
}
"""Where nothing is declared: what each benchmark's size can just about prove if one in ten answers flips."""


class _File(Document):
    plan: PlanConfig = science()


@dataclass(frozen=True)
class Plan:
    """Margins and the primary family, with when they were declared.

    Attributes:
        margins: by `suite:metric`, metric, suite, or `default`.
        primary: `suite:metric` or metric; empty leaves it to each suite.
        declared: when, as far as the files prove it.
    """

    margins: Mapping[str, float] = field(default_factory=dict)
    primary: tuple[str, ...] = ()
    declared: Declared = "default"

    def __post_init__(self) -> None:
        for name, value in self.margins.items():
            if not 0 < value < 1:
                raise ConfigError(
                    f"margin of {name} is {value}; it is a difference of rates, between 0 and 1 (0.05 is five points)"
                )

    @property
    def sha256(self) -> str:
        """The hash of what was declared, whatever file it stood in."""
        return hash_json(self._content())

    def _content(self) -> dict[str, Any]:
        return {"margins": dict(self.margins), "primary": list(self.primary)}

    def record(self) -> dict[str, Any]:
        """Return what `eval.json` and `compare.json` hold of it."""
        return {**self._content(), "sha256": self.sha256}

    def margin(self, suite: str, metric: str) -> float:
        """Return the margin of a metric of a suite."""
        for key in (f"{suite}:{metric}", metric, suite, "default"):
            if key in self.margins:
                return self.margins[key]
        return BENCHMARK_MARGINS.get(suite, MARGIN)

    def source(self, suite: str, metric: str) -> Declared:
        """Return when the margin of a metric was declared; `default` where the plan does not name it."""
        named = {f"{suite}:{metric}", metric, suite, "default"} & self.margins.keys()
        return self.declared if named else "default"

    def is_primary(self, suite: str, metric: str, *, otherwise: bool) -> bool:
        """Return whether a metric belongs to the primary family; `otherwise` where the plan names none."""
        return bool({f"{suite}:{metric}", metric} & set(self.primary)) if self.primary else otherwise

    def unmeasured(self, measured: Iterable[tuple[str, str]]) -> list[str]:
        """Return what the plan names and nobody measured: a suite that was left out shows here."""
        names = {"default"}
        for suite, metric in measured:
            names |= {suite, metric, f"{suite}:{metric}"}
        return sorted({*self.margins, *self.primary} - names)


def read_plan(path: Path | str) -> Plan:
    """Return the plan of a TOML file, or of a run's `recipe.json`: its `[plan]` table.

    Raises:
        ConfigError: no such file, no `[plan]`, an unknown key, or a margin that is no rate.
    """
    path = Path(path)
    try:
        tables = loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else read_toml(path, "plan")
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot read the plan ({error})") from error
    if not isinstance(tables, dict) or "plan" not in tables:
        raise ConfigError(f"{path}: declares no plan; write a [plan] table with margins, primary or both")
    declared = _File.from_dict({"plan": tables["plan"]}, where=str(path)).plan
    return Plan(dict(declared.margins), tuple(declared.primary), "declared before the run")


def plan_of_run(adapter: Path) -> Plan | None:
    """Return the plan that the recipe of an adapter's run declares, or None: no run's adapter, or nothing declared."""
    recipe = adapter.resolve().parent / "recipe.json"
    if not recipe.is_file():
        return None
    try:
        plan = read_plan(recipe)
    except ConfigError:
        return None  # written before recipes could hold a plan, or not a run's recipe at all
    return plan if plan.margins or plan.primary else None


def recorded_plan(abouts: Sequence[Mapping[str, Any]]) -> Plan | None:
    """Return the plan that every one of these evaluations was begun under, or None where none has one.

    Raises:
        ConfigError: they were begun under different plans, or only some under one.
    """
    records = [about.get("plan") for about in abouts]
    if not any(records):
        return None
    if any(record != records[0] for record in records):
        raise ConfigError("these evaluations were begun under different plans; say with --plan FILE which one counts")
    first = records[0]
    assert first is not None
    return Plan(dict(first["margins"]), tuple(first["primary"]), "declared before the run")


def choose_plan(
    abouts: Sequence[Mapping[str, Any]], given: Plan | None = None, margin: float | None = None
) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan that a comparison is made under, and each departure from the recorded one as a sentence.

    Args:
        abouts: what the `eval.json` of every evaluation after training holds.
        given: a plan named now; it counts as declared before only if every evaluation was begun under it.
        margin: one margin for everything, named now.

    Raises:
        ConfigError: a plan and a margin at once, or evaluations under different plans and neither given.
    """
    if given is not None and margin is not None:
        raise ConfigError("give either --plan or --margin, not both")
    if given is None and margin is None:
        return recorded_plan(abouts) or Plan(), ()
    chosen = given or Plan({"default": margin or 0.0})
    hashes = [(about.get("plan") or {}).get("sha256") for about in abouts]
    if all(sha == chosen.sha256 for sha in hashes):
        return Plan(chosen.margins, chosen.primary, "declared before the run"), ()
    chosen = Plan(chosen.margins, chosen.primary, "declared after the run")
    others = sorted({sha for sha in hashes if sha and sha != chosen.sha256})
    return chosen, tuple(
        f"The recorded plan {sha[:12]} was set aside for one declared after the run." for sha in others
    )
