"""One OPCT step: this library beside TRL's experimental SDFT trainer and beside a plain Transformers loop.

    python -m bench.opct_step [--model NAME] [--pairs 16] [--new-tokens 24] [--steps 3] [--threads N] [--out DIR]

From the root of a checkout. Every arm is a process of its own; they take their steps alternately, on the same pairs,
and never two at a time. Writes opct_step.json and opct_step.svg. README.md in this folder says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.step import machine, render, summary
from bench.step.chart import draw
from bench.step.floor import shape_of
from bench.step.race import Race
from bench.step.work import OURS, TRLS, Work, arms_for, write_work_pairs
from bench.step.worker import PROBE
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_json
from unswayed.train.prepare import prepare

RESULTS = Path(__file__).parent / "results"
WARMUP = 1
RANK = 16


def measure(work: Work, names: Sequence[str] | None) -> dict[str, Any]:
    """Run every arm and return everything that was measured, as plain data."""
    before = machine.load()
    write_work_pairs(Path(work.data), work.pairs * work.steps)
    prepared = prepare(work.recipe)
    micro_batch = prepared.recipe.train.micro_batch
    wanted = arms_for(names, work.pairs, micro_batch)
    missing = {}
    if importlib.util.find_spec("trl") is None:
        missing = {name: "trl is not installed" for name in wanted if name in TRLS}
    with Race([name for name in wanted if name not in missing], work, say) as race:
        race.run(WARMUP)
        done = {name: arm for name, arm in race.arms.items() if name != PROBE}
        facts = done[OURS].facts
        completions = summary.ragged(done[OURS].steps[-1]["completions"])
        checked = summary.check_summary(race.check(completions), facts["dtype"])
        arms = {name: summary.arm_summary(name, arm.facts, arm.steps, WARMUP) for name, arm in done.items()}
        probe = summary.probe_summary(race.arms[PROBE].steps)
    return {
        "bench": "opct_step",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {
            "model": prepared.source.path.name if prepared.source.kind in {"folder", "gguf"} else work.model,
            "weights": prepared.model_identity,
            "parameters": facts["parameters"],
            "dtype": facts["dtype"],
            "pairs": work.pairs,
            "new_tokens": work.new_tokens,
            "rank": work.rank,
            "trainable": facts["shape"]["adapter"],
            "micro_batch": micro_batch,
            "threads": work.threads,
            "warmup": WARMUP,
            "steps": work.steps - WARMUP,
            "learning_rate": work.lr,
            "max_grad_norm": prepared.recipe.optim.max_grad_norm,
        },
        "arms": arms,
        "missing": {**missing, **race.missing},
        "ratios": summary.ratios(arms),
        "probe": probe,
        "floor": summary.floor_summary(shape_of(facts), prepared.pairs, arms[OURS], WARMUP, work.pairs, probe),
        "check": checked,
    }


def say(line: str) -> None:
    """Tell how far it is, on stderr."""
    print(line, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """Read a count."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.opct_step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m", help="alias, folder, GGUF file or hub id")
    parser.add_argument("--pairs", type=positive, default=16, metavar="N", help="pairs a step")
    parser.add_argument("--new-tokens", type=positive, default=24, metavar="N", help="longest completion")
    parser.add_argument(
        "--steps", type=positive, default=3, metavar="N", help=f"measured steps, after {WARMUP} warm-up"
    )
    parser.add_argument("--threads", type=positive, default=machine.physical_cores(), metavar="N")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="of the frozen weights"
    )
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these besides ours: transformers, trl, …")
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
            result = measure(work, options.arms)
            options.out.mkdir(parents=True, exist_ok=True)
        except (UnswayedError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return getattr(error, "exit_code", 1)
    print(render.table(result), flush=True)
    write_json(options.out / "opct_step.json", result)
    write_atomic(options.out / "opct_step.svg", draw(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
