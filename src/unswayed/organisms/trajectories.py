"""Trajectories: a suite measured on the adapters that a run kept on its way, from where it started.

Step 0 is what the run started from: the organism where it has one, else the base model. Which steps there are depends
on `save.every_steps` and `save.keep` of the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.engine.named import load_policy
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.training.checkpoint import list_checkpoints, step_of


def trajectory(
    run: Path | str,
    suites: Sequence[Suite],
    out: Path | str,
    *,
    steps: Sequence[int] = (),
    batch_size: int = 32,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Measure a run's kept adapters, and return a row for each step and metric.

    Args:
        run: a run folder.
        suites: what to measure.
        out: folder of the evaluations, `step-NNNNNN/SUITE`; they go on where they stopped.
        steps: which steps besides 0; by default all that were kept.
        batch_size, progress: see `evaluate`.

    Raises:
        ConfigError: no run, or a step that was not kept.
    """
    folder = Path(run)
    if not (folder / "recipe.json").is_file():
        raise ConfigError(f"{folder}: no run; name a folder that `unswayed train` wrote")
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    kept = {step_of(path): path for path in list_checkpoints(folder)}
    if lacking := sorted(set(steps) - set(kept) - {0}):
        kept_steps, others = ", ".join(map(str, kept)), ", ".join(map(str, lacking))
        raise ConfigError(
            f"{folder} kept the steps {kept_steps}, not {others}; set save.every_steps and save.keep so that it does"
        )
    rows: list[dict[str, Any]] = []
    for step in sorted({0, *(steps or kept)}):
        adapter = recipe["model"].get("adapter") if step == 0 else str(kept[step])
        policy = load_policy(recipe["model"]["id"], adapter)
        for suite in suites:
            found = evaluate(
                policy, suite, Path(out) / f"step-{step:06d}" / suite.key, batch_size=batch_size, progress=progress
            )
            rows += _rows(step, suite, found)
    return rows


def _rows(step: int, suite: Suite, found: Result) -> list[dict[str, Any]]:
    return [
        {"step": step, "suite": suite.name, "metric": name, "value": rate.value, "low": rate.low, "high": rate.high,
         "n": rate.n, "unscored": rate.unscored}
        for name, rate in found.estimates.items()
    ]  # fmt: skip
