"""Every method under one budget: the same optimizer steps, drawn tokens, LoRA and tuning effort, three seeds each.

    python -m bench.methods [--work DIR] [--jobs 2] [--arms opct bct ...] [--out DIR]

From the root of a checkout. Takes hours on two cores and goes on where it stopped. Writes methods.json, methods.md and
methods.svg. README.md in this folder says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.equal import table
from bench.equal.arms import ARMS, DRAWS, MODEL, NEW_TOKENS, RANK, RATES, STEPS
from bench.equal.chart import draw
from bench.equal.schedule import SEEDS, run_all
from bench.step import machine
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_json

RESULTS = Path(__file__).parent / "results"
HEADLINE = (
    f"{MODEL}, LoRA rank {RANK}, {STEPS} optimizer steps and completions for {DRAWS} prompts of at most {NEW_TOKENS} "
    f"tokens to learn from, the best of {len(RATES)} learning rates on questions set aside, {len(SEEDS)} training "
    "seeds. 95% intervals over questions and seeds; dashed: the untrained model."
)


def say(line: str) -> None:
    """Tell how far it is, on stderr."""
    print(line, file=sys.stderr, flush=True)


def write(out: Path, result: dict[str, Any]) -> None:
    """Write the three files."""
    write_json(out / "methods.json", result)
    write_atomic(out / "methods.svg", draw(result, HEADLINE).encode())
    text = f"{HEADLINE}\n\n{table.markdown(result)}\nBetter than exact OPCT:\n\n"
    lines = table.sentences(result) or ["nothing in this table"]
    write_atomic(out / "methods.md", (text + "".join(f"- {line}\n" for line in lines)).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.methods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/bench-methods"), metavar="DIR", help="folder of the runs"
    )
    parser.add_argument("--jobs", type=int, default=machine.physical_cores(), metavar="N", help="runs at a time")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    try:
        rates = run_all(options.work.absolute(), options.arms, max(1, options.jobs), say)
        result = {
            "bench": "methods",
            "date": datetime.date.today().isoformat(),
            "machine": {**machine.describe(), "jobs_at_a_time": options.jobs},
            "versions": machine.versions(),
            **table.collect(options.work.absolute(), options.arms, rates),
        }
    except UnswayedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    write(options.out, result)
    print((options.out / "methods.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
