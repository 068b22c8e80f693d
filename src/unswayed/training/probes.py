"""Probes: suites that are run while training goes on. Their results are monitoring, not evidence.

Each entry of a recipe's `eval` list asks the probe part of a suite (see `unswayed.evals.probe`) of the student before
the first step, every so many steps, and after the last. Every look is a line of `probes.jsonl`, and its values go to
the trackers. Draws are addressed by seed and prompt, so a probe moves nothing in training, and an interrupted run, once
resumed, has the same lines as one that never stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.config.recipe import Recipe
from unswayed.core.errors import Interrupted, OutOfMemoryError
from unswayed.core.files import append_jsonl, read_jsonl
from unswayed.core.signals import stop_signals
from unswayed.core.types import TextPolicy

if TYPE_CHECKING:
    from unswayed.evals.suite import Suite

logger = logging.getLogger(__name__)
PROBES = "probes.jsonl"
PURPOSE = "monitoring, not evidence"
BATCH = 16


@dataclass(frozen=True)
class Probe:
    """One suite to look at, how often (None: before the first step and after the last only), and its `args`."""

    suite: Suite
    every_steps: int | None
    args: Mapping[str, Any] = field(default_factory=dict)

    def due(self, step: int, steps: int) -> bool:
        """Return whether to look when `step` of `steps` steps are done."""
        return step in {0, steps} or (self.every_steps is not None and step % self.every_steps == 0)


def probes_of(recipe: Recipe) -> tuple[Probe, ...]:
    """Return the recipe's probes, built and checked before any weight is loaded.

    Raises:
        ConfigError: no such suite, or one that cannot be a probe.
    """
    if not recipe.eval:
        return ()
    from unswayed.evals.probe import probe_suite

    return tuple(
        Probe(
            probe_suite(entry.suite, entry.limit, seed=recipe.seed, arguments=entry.args), entry.every_steps, entry.args
        )
        for entry in recipe.eval
    )


class Monitor:
    """The probes of one run.

    Args:
        probes: what to look at.
        policy: the student as it is at the moment of asking.
        path: the run folder.
        steps: how many the run has.
        log: receives the values of each look; the trackers' `log`.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        policy: TextPolicy,
        path: Path,
        steps: int,
        log: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.probes, self.policy, self.file, self.steps, self.log = probes, policy, path / PROBES, steps, log

    def missing(self, step: int) -> list[Probe]:
        """Return what is due when `step` steps are done and has not been looked at yet."""
        due = [probe for probe in self.probes if probe.due(step, self.steps)]
        if not due:
            return []
        seen = {row["key"] for row in read_jsonl(self.file) if row["step"] == step}
        return [probe for probe in due if probe.suite.key not in seen]

    def look(self, step: int) -> None:
        """Take every look that is due when `step` steps are done. A signal ends it early: only that look is lost."""
        for probe in self.missing(step):
            if stop_signals.asked:
                return
            try:
                row = self._row(probe)
            except Interrupted:
                return
            append_jsonl(self.file, [{"step": step, **row}])
            self.log({"step": step, "seconds": {}, **dict(_flat(row))})

    def _row(self, probe: Probe) -> dict[str, Any]:
        from unswayed.evals.run import evaluate

        suite = probe.suite
        row: dict[str, Any] = {"suite": suite.name, "key": suite.key, "part": "probe", "purpose": PURPOSE}
        row |= {"args": dict(probe.args)} if probe.args else {}
        size = BATCH
        while True:
            try:
                summary = evaluate(self.policy, suite, batch_size=size).summary()
            except OutOfMemoryError:
                if size == 1:
                    logger.warning("probe %s: memory ran out with one prompt at a time; it is left out", suite.name)
                    return {**row, "skipped": "out of memory", "metrics": {}}
                size //= 2
            else:
                kept = ("value", "interval", "n", "clusters", "unscored", "better", "role")
                metrics = {name: {key: entry[key] for key in kept} for name, entry in summary["metrics"].items()}
                return {**row, "metrics": metrics, "degenerate": summary["degenerate"]}


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, entry in row["metrics"].items():
        if entry["value"] is not None:
            yield f"probe/{_title(row)}/{name}", entry["value"]


def _title(row: Mapping[str, Any]) -> str:
    """Return the suite's name, with the arguments that tell it from the same one asked in another way."""
    args = " ".join(f"{name}={value}" for name, value in row.get("args", {}).items())
    return f"{row['suite']} {args}".rstrip()


def summary_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first and last look at each primary metric, one line each, under a heading; nothing without probes."""
    looks: dict[tuple[str, str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for row in rows:
        for name, entry in row["metrics"].items():
            if entry["role"] == "primary":
                looks.setdefault((_title(row), row["key"], name), []).append((row["step"], entry))
    if not looks:
        return []
    lines = [f"probes   {PURPOSE}: compare evaluations on other questions before you conclude anything"]
    for (suite, _, name), seen in looks.items():
        (first, before), (last, after) = seen[0], seen[-1]
        lines.append(
            f"  {suite} {name} ({before['better']} is better): {_level(before)} at step {first}, "
            f"{_level(after)} at step {last}; n {after['n']}, unscored {after['unscored']}"
        )
    return lines


def _level(entry: Mapping[str, Any]) -> str:
    return "unscored" if entry["value"] is None else f"{entry['value']:.1%}"
