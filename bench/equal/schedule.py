"""Which runs there are, in which order, and how many at a time. A run that is done is not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.equal.arms import ARMS, RATES
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_json

TUNING_SEED = 100
SEEDS = (1, 2, 3)
CLEAN_LOSS = 0.05
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Job:
    """One run: an arm, or the untrained model, with a seed and a learning rate."""

    arm: str
    seed: int
    rate: float
    tuning: bool

    @property
    def name(self) -> str:
        """A folder name."""
        return f"{'tuning' if self.tuning else 'result'}-{self.arm}-{self.rate:g}-{self.seed}"

    def done(self, work: Path) -> dict[str, Any] | None:
        """Return what the run measured, or None if it has not ended."""
        path = work / self.name / "done.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def run_all(work: Path, arms: Sequence[str], jobs: int, say: Callable[[str], None]) -> dict[str, float]:
    """Tune, then run every arm with every seed; return the learning rate of each arm."""
    tuned = [name for name in arms if not ARMS[name].rate_of]
    tuned += sorted({ARMS[name].rate_of for name in arms if ARMS[name].rate_of} - set(tuned))
    base = Job("base", TUNING_SEED, 0.0, tuning=True)
    tuning = [Job(name, TUNING_SEED, rate, tuning=True) for name in tuned for rate in RATES]
    _run([base, Job("base", 0, 0.0, tuning=False), *tuning], work, jobs, say)
    rates = {name: choose(work, name)[0] for name in tuned}
    rates |= {name: rates[ARMS[name].rate_of] for name in arms if ARMS[name].rate_of}
    _run(
        [Job(name, seed, rates[name], tuning=False) for name in arms for seed in SEEDS],
        work, jobs, say,
    )  # fmt: skip
    return rates


def choose(work: Path, name: str) -> tuple[float, dict[str, Any]]:
    """Return an arm's learning rate, and what each rate gave on the tuning questions.

    The rule, fixed before any run: of the rates that keep accuracy without a hint within five points of the untrained
    model's, the one whose model follows hints least; the smallest rate if none does.
    """
    found = {rate: rates_of(Job(name, TUNING_SEED, rate, tuning=True).done(work)) for rate in RATES}
    base = rates_of(Job("base", TUNING_SEED, 0.0, tuning=True).done(work))
    kept = [rate for rate in RATES if found[rate]["accuracy_clean"] >= base["accuracy_clean"] - CLEAN_LOSS]
    best = min(kept, key=lambda rate: (found[rate]["hint_following"], rate)) if kept else min(RATES)
    return best, {"base": base, **{f"{rate:g}": values for rate, values in found.items()}}


def rates_of(done: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the rates on the tuning questions; what could not be read counts against the model."""
    if done is None:
        raise UnswayedError("a tuning run is not done")
    values = done["values"]["tuning"]
    against = {"hint_following": 1.0, "accuracy_clean": 0.0}
    return {
        name: sum(worst if value is None else value for _, _, value in values[name]) / len(values[name])
        for name, worst in against.items()
    }


def _run(todo: Sequence[Job], work: Path, jobs: int, say: Callable[[str], None]) -> None:
    left = [job for job in todo if job.done(work) is None]
    say(f"{len(todo) - len(left)} runs are done, {len(left)} to do")
    running: dict[subprocess.Popen[bytes], tuple[Job, float]] = {}
    try:
        while left or running:
            while left and len(running) < jobs:
                job = left.pop(0)
                folder = work / job.name
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / "job.json", vars(job))
                with (folder / "log.txt").open("ab") as log:
                    command = [sys.executable, "-m", "bench.equal.worker", str(folder / "job.json")]
                    child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **ONE_THREAD})
                running[child] = (job, time.monotonic())
            time.sleep(0.5)
            for child in [child for child in running if child.poll() is not None]:
                job, began = running.pop(child)
                if child.returncode or job.done(work) is None:
                    raise UnswayedError(f"{job.name}: ended with {child.returncode}; see log.txt in {work / job.name}")
                say(f"{job.name}: {time.monotonic() - began:.0f} s, {len(left) + len(running)} left")
    finally:
        for child in running:
            child.terminate()
            child.wait()
