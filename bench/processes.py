"""The same training steps on one process and on two: s/step, and where the time of several goes.

    python -m bench.processes [--model NAME] [--pairs 8] [--new-tokens 16] [--steps 2] [--rounds 2] [--out DIR]

From the root of a checkout. Arms are whole runs of `unswayed train`, one after another, in rounds of alternating order:
one process with all threads, as many processes with one thread each, and one process with one thread. All take the same
steps on the same pairs with the same draws; the first step of each run is warm-up. Writes processes.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.opct_step import RANK, RESULTS, WARMUP, positive
from bench.step import machine
from bench.step.work import Work, write_work_pairs
from unswayed.core.errors import UnswayedError
from unswayed.core.files import read_jsonl, write_json

Arm = tuple[int, int]
Row = dict[str, Any]


def name_of(arm: Arm) -> str:
    """Return an arm in words."""
    processes, threads = arm
    return f"{processes} process{'es' * (processes > 1)} x {threads} thread{'s' * (threads > 1)}"


def train(arm: Arm, recipe: Path, run: Path) -> list[Row]:
    """Take the recipe's steps in the arm's way; return their rows of metrics.

    Raises:
        UnswayedError: the run failed; its own last words are in the message.
    """
    processes, threads = arm
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    start = [sys.executable, *(launcher if processes > 1 else [])]
    command = [*start, "-m", "unswayed", "train", str(recipe), "--fresh", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnswayedError(f"{name_of(arm)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return read_jsonl(run / "metrics.jsonl")


def summary(rows: Mapping[Arm, Sequence[Row]], base: Arm) -> dict[str, Any]:
    """Return medians for each arm, and ratios to `base` of the same step in the same round."""
    arms = {}
    for arm, own in rows.items():
        kept = [(row, other) for row, other in zip(own, rows[base], strict=True) if row["step"] > WARMUP]
        ratios = [row["seconds"]["step"] / other["seconds"]["step"] for row, other in kept]
        arms[name_of(arm)] = {
            "processes": arm[0],
            "threads": arm[1],
            "seconds": statistics.median(row["seconds"]["step"] for row, _ in kept),
            "wait": statistics.median(row["seconds"].get("wait", 0.0) for row, _ in kept),
            "tokens": sum(row["tokens"] for row, _ in kept),
            # Rounding may turn a draw, in bfloat16 above all; the steps are then of like size but not the same.
            "same_draws": all(
                row["tokens"] == other["tokens"] and math.isclose(row["loss"], other["loss"], rel_tol=1e-3)
                for row, other in kept
            ),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "steps": [row["seconds"] for row, _ in kept],
        }
    return arms


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Run every arm in every round and return what was measured, as plain data."""
    before = machine.load()
    count = max(2, work.threads)
    arms: list[Arm] = [(1, count), (count, 1), (1, 1)]
    write_work_pairs(Path(work.data), work.pairs * work.steps)
    folder = Path(work.data).parent
    recipe = folder / "recipe.toml"
    tables = {
        **work.recipe.to_dict(),
        "name": "run",
        "save": {"dir": str(folder), "every_steps": work.steps},
    }
    recipe.write_text(toml(tables), encoding="utf-8")
    rows: dict[Arm, list[Row]] = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            print(f"round {number + 1} of {rounds}: {name_of(arm)}", file=sys.stderr, flush=True)
            rows[arm] += train(arm, recipe, folder / "run")
    return {
        "bench": "processes",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {
            "model": work.model,
            "pairs": work.pairs,
            "new_tokens": work.new_tokens,
            "rank": work.rank,
            "steps": work.steps - WARMUP,
            "warmup": WARMUP,
            "rounds": rounds,
            "dtype": work.dtype,
        },
        "arms": summary(rows, arms[0]),
    }


def toml(tables: Mapping[str, Any]) -> str:
    """Write a recipe's plain tables as TOML; what is unset is left out."""
    lines = [f"{k} = {json.dumps(v)}" for k, v in tables.items() if not isinstance(v, dict) and v not in (None, [])]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in table.items() if v is not None and v != {}]
    return "\n".join(lines) + "\n"


def table(result: Mapping[str, Any]) -> str:
    """Return the result as text."""
    lines = [f"{'':28}{'s/step':>9}{'waiting':>9}{'ratio':>8}   range           draws"]
    for name, arm in result["arms"].items():
        low, high = arm["ratio_range"]
        lines.append(
            f"{name:28}{arm['seconds']:>9.2f}{arm['wait'] / arm['seconds']:>9.1%}{arm['ratio']:>8.2f}"
            f"   {low:.2f} to {high:.2f}    {'the same' if arm['same_draws'] else 'others'}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.processes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m", help="alias, folder, GGUF file or hub id")
    parser.add_argument("--pairs", type=positive, default=8, metavar="N", help="pairs a step")
    parser.add_argument("--new-tokens", type=positive, default=16, metavar="N", help="longest completion")
    parser.add_argument(
        "--steps", type=positive, default=2, metavar="N", help=f"measured steps, after {WARMUP} warm-up"
    )
    parser.add_argument("--rounds", type=positive, default=2, metavar="N")
    parser.add_argument(
        "--threads", type=positive, default=machine.physical_cores(), metavar="N", help="of all processes"
    )
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            model=options.model,
            data=str(Path(folder) / "pairs.jsonl"),
            pairs=options.pairs,
            steps=WARMUP + options.steps,
            new_tokens=options.new_tokens,
            rank=RANK,
            threads=options.threads,
            dtype=options.dtype,
        )
        try:
            result = measure(work, options.rounds)
            options.out.mkdir(parents=True, exist_ok=True)
        except (UnswayedError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return getattr(error, "exit_code", 1)
    print(table(result), flush=True)
    write_json(options.out / "processes.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
