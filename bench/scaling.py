"""Memory and seconds of one OPCT step as rollouts, completions, vocabulary and model grow, each alone.

    python -m bench.scaling [--axes rollouts completion vocab model] [--steps 2] [--threads N] [--out DIR]

From the root of a checkout. Random weights in small shapes; every point is a process of its own, one after the other.
Writes scaling.json and scaling.svg. README.md in this folder says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.growth.chart import draw
from bench.growth.fit import fits
from bench.growth.measure import PARTS, RANK, measure
from bench.growth.points import AXES, BASE, Point
from bench.opct_step import RESULTS, positive, say
from bench.step import machine
from bench.step.race import THREAD_VARIABLES
from unswayed.core.files import write_atomic, write_json


def run(names: Sequence[str], threads: int, steps: int) -> dict[str, Any]:
    """Measure every point once, however many axes it lies on, and fit."""
    before = machine.load()
    axes = [axis for axis in AXES if axis.name in names]
    points = list(dict.fromkeys(point for axis in axes for point in axis.points))
    for variable in THREAD_VARIABLES:  # read once by each child when it loads torch
        os.environ[variable] = str(threads)
    measured: dict[Point, dict[str, Any]] = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.imap(measure, [(point, threads, steps) for point in points])
        for point, one in zip(points, found, strict=True):
            measured[point] = one
            say(f"{len(measured)} of {len(points)}: {one['step']:.2f} s, {one['peak'] / 2**20:.0f} MiB above set-up")
    return {
        "bench": "scaling",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {"base": BASE.facts(), "rank": RANK, "dtype": "float32", "threads": threads, "steps": steps},
        "axes": {
            axis.name: {
                "title": axis.title,
                "points": [measured[point] for point in axis.points],
                "fits": fits(axis, [measured[point] for point in axis.points]),
            }
            for axis in axes
        },
    }


def headline(result: Mapping[str, Any]) -> str:
    """Return what the base step was, and on what, as one line."""
    base, settings = result["settings"]["base"], result["settings"]
    return (
        f"from {base['pairs']} pairs x {base['rollouts']} rollouts x {base['completion']} tokens, {base['vocab']:,} "
        f"words, {base['layers']} layers of width {base['hidden']}, {settings['threads']} threads, "
        f"{result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is worth reading at once."""
    yield f"One OPCT step as one thing grows: {headline(result)}"
    for axis in AXES:
        if axis.name not in result["axes"]:
            continue
        entry = result["axes"][axis.name]
        fit, growth = entry["fits"], entry["fits"]["growth"]
        yield ""
        yield f"{axis.title}{'':{30 - len(axis.title)}}{'MiB':>8}{'s':>8}" + "".join(f"{part:>10}" for part in PARTS)
        for point in entry["points"]:
            parts = "".join(f"{point['seconds'][part]:>10.3f}" for part in PARTS)
            yield f"{point[axis.over]:>12,} {axis.unit:17}{point['peak'] / 2**20:>8.0f}{point['step']:>8.3f}{parts}"
        thousand = 1000 / 2**20
        memory, seconds = fit["memory"], fit["seconds"]
        yield (
            f"  memory {memory['slope'] * thousand:+.3f} MiB for 1,000 {axis.unit} (R² {_r2(memory)}), seconds "
            f"{seconds['slope'] * 1000:+.4f} (R² {_r2(seconds)}); {growth['x']:.0f} times as many take "
            f"{growth['memory']:.2f} times the memory and {growth['seconds']:.2f} times as long"
        )
        if "logits" in fit:
            yield f"  one copy of all logits would take {fit['logits'] * thousand:+.3f} MiB for 1,000 words"


def _r2(fit: Mapping[str, float | None]) -> str:
    return "none" if fit["r2"] is None else f"{fit['r2']:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [axis.name for axis in AXES]
    parser.add_argument("--axes", nargs="+", choices=names, default=names, metavar="AXIS", help=", ".join(names))
    parser.add_argument("--steps", type=positive, default=2, metavar="N", help="measured steps, after one for memory")
    parser.add_argument("--threads", type=positive, default=machine.physical_cores(), metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    result = run(options.axes, options.threads, options.steps)
    print("\n".join(table(result)), flush=True)
    write_json(options.out / "scaling.json", result)
    write_atomic(options.out / "scaling.svg", draw(result, headline(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
