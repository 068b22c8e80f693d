"""Time from `unswayed train` to the end of its first step, part by part: few pairs, many pairs, many pairs again.

    python -m bench.startup [--model smollm2-135m] [--pairs 100000] [--rounds 2] [--threads N] [--out DIR]

From the root of a checkout. Every start is a process of its own, one after the other. Writes startup.json and
startup.svg. README.md in this folder says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.opct_step import RESULTS, positive, say
from bench.start.chart import draw
from bench.start.child import PARTS
from bench.start.pairs import write
from bench.step import machine
from bench.step.race import THREAD_VARIABLES
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_json
from unswayed.models import resolve

FEW, PER_STEP, NEW_TOKENS = 32, 4, 8


def run(model: str, pairs: int, threads: int, rounds: int) -> dict[str, Any]:
    """Make every start once in each round, after one that fills the file cache, and return the medians."""
    before = machine.load()
    resolve(model)
    titles = {"few": f"{FEW} pairs", "many": f"{pairs:,} pairs, first time", "again": f"{pairs:,} pairs, again"}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in titles}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "few.jsonl", FEW)
        write(folder / "many.jsonl", pairs)
        _start(folder, folder / "few.jsonl", model, threads)
        for _ in range(rounds):
            shutil.rmtree(folder / "tokens", ignore_errors=True)
            for start, parts in found.items():
                file = folder / ("few.jsonl" if start == "few" else "many.jsonl")
                parts.append(_start(folder, file, model, threads))
                say(f"{titles[start]}: {parts[-1]['total']:.1f} s")
    names = (*PARTS, "other", "total")
    return {
        "bench": "startup",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {
            "model": Path(model).name, "pairs": pairs, "pairs_per_step": PER_STEP, "new_tokens": NEW_TOKENS,
            "threads": threads, "rounds": rounds,
        },
        "starts": {
            start: {
                "title": titles[start],
                "parts": {name: statistics.median(one[name] for one in parts) for name in names},
                "rounds": parts,
            }
            for start, parts in found.items()
        },
    }  # fmt: skip


def _start(folder: Path, data: Path, model: str, threads: int) -> dict[str, float]:
    """Start a training run in a process of its own and return the seconds of its parts.

    Raises:
        UnswayedError: it did not come to the end of its first step.
    """
    recipe = {
        "name": "start",
        "model": {"id": model, "device": "cpu"},
        "data": {"train": str(data)},
        "method": {"name": "opct"},
        "sampling": {"max_new_tokens": NEW_TOKENS},
        "train": {"pairs_per_step": PER_STEP, "steps": 1},
        "save": {"dir": str(folder / "runs")},
    }
    job, parts = folder / "job.json", folder / "parts.json"
    parts.unlink(missing_ok=True)
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    facts = {"recipe": recipe, "tokens": str(folder / "tokens"), "threads": threads, "began": time.time()}
    job.write_text(json.dumps(facts), encoding="utf-8")
    command = [sys.executable, "-m", "bench.start.child", str(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not parts.exists():
        raise UnswayedError(f"a start failed:\n{done.stderr}")
    return dict(json.loads(parts.read_text(encoding="utf-8")))


def headline(result: Mapping[str, Any]) -> str:
    """Return what was started, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['model']}, first step of {settings['pairs_per_step']} pairs x {settings['new_tokens']} tokens, "
        f"{settings['threads']} threads, {result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is worth reading at once."""
    starts = list(result["starts"].values())
    yield f"Time to the first step: {headline(result)}; medians of {result['settings']['rounds']}, in seconds"
    yield f"{'':14}" + "".join(f"{start['title']:>28}" for start in starts)
    for part in (*PARTS, "other", "total"):
        yield f"{part:14}" + "".join(f"{start['parts'][part]:>28.2f}" for start in starts)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m", help="alias, folder, GGUF file or hub id")
    parser.add_argument("--pairs", type=positive, default=100_000, metavar="N", help="pairs of the large file")
    parser.add_argument("--rounds", type=positive, default=2, metavar="N")
    parser.add_argument("--threads", type=positive, default=machine.physical_cores(), metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    try:
        result = run(options.model, options.pairs, options.threads, options.rounds)
        options.out.mkdir(parents=True, exist_ok=True)
    except (UnswayedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print("\n".join(table(result)), flush=True)
    write_json(options.out / "startup.json", result)
    write_atomic(options.out / "startup.svg", draw(result, headline(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
