"""Which runs there are, in which order, and how many at a time. A run that is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.budget.arms import ARMS, RATES
from bench.race import alone, progress
from unswayed.core.errors import UnswayedError

TUNING_SEED = 100
SEEDS = (1, 2, 3)
CLEAN_LOSS = 0.05


@dataclass(frozen=True)
class Job:
    """One run in a folder of its own: an arm, or the untrained model, with a seed and a learning rate."""

    work: Path
    arm: str
    seed: int
    rate: float
    tuning: bool
    threads: int = 1

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self.work / f"{'tuning' if self.tuning else 'result'}-{self.arm}-{self.rate:g}-{self.seed}"

    def done(self) -> dict[str, Any] | None:
        """Return what the run measured, or None if it has not ended."""
        path = self.folder / "done.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def run(self) -> None:
        """Run it in a process of its own; a run that was cut goes on."""
        began = time.monotonic()
        alone(self.folder.name, ("bench.budget.worker", {}), self)
        progress(f"{self.folder.name}: {time.monotonic() - began:.0f} s")


def run_all(work: Path, arms: Sequence[str], jobs: int) -> dict[str, float]:
    """Tune, then run every arm with every seed, `jobs` runs at a time; return the learning rate of each arm."""
    tuned = list(dict.fromkeys(ARMS[name].rate_of or name for name in arms))
    base = [Job(work, "base", TUNING_SEED, 0.0, tuning=True), Job(work, "base", 0, 0.0, tuning=False)]
    _run([*base, *(Job(work, name, TUNING_SEED, rate, tuning=True) for name in tuned for rate in RATES)], jobs)
    best = {name: choose(work, name)[0] for name in tuned}
    rates = {name: best[ARMS[name].rate_of or name] for name in arms}
    _run([Job(work, name, seed, rates[name], tuning=False) for name in arms for seed in SEEDS], jobs)
    return rates


def choose(work: Path, name: str) -> tuple[float, dict[str, Any]]:
    """Return an arm's learning rate, and what each rate gave on the tuning questions.

    The rule, fixed before any run: of the rates that keep accuracy without a hint within five points of the untrained
    model's, the one whose model follows hints least; the smallest rate if none does.
    """
    found = {rate: _rates(Job(work, name, TUNING_SEED, rate, tuning=True)) for rate in RATES}
    base = _rates(Job(work, "base", TUNING_SEED, 0.0, tuning=True))
    kept = [rate for rate in RATES if found[rate]["accuracy_clean"] >= base["accuracy_clean"] - CLEAN_LOSS]
    best = min(kept, key=lambda rate: (found[rate]["hint_following"], rate)) if kept else min(RATES)
    return best, {"base": base, **{f"{rate:g}": values for rate, values in found.items()}}


def _rates(job: Job) -> dict[str, float]:
    """Return the rates on the tuning questions; a reply that could not be scored counts against the model."""
    done = job.done()
    if done is None:
        raise UnswayedError(f"{job.folder.name} is not done")
    values: Mapping[str, Any] = done["values"]["tuning"]
    against = {"hint_following": 1.0, "accuracy_clean": 0.0}
    return {
        name: sum(worst if value is None else value for _, _, value in values[name]) / len(values[name])
        for name, worst in against.items()
    }


def _run(todo: Sequence[Job], jobs: int) -> None:
    left = [job for job in todo if job.done() is None]
    progress(f"{len(todo) - len(left)} runs are done, {len(left)} to do")
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(Job.run, left):  # the first failure cancels those that have not begun
            pass
