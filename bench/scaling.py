"""Memory and seconds of one OPCT step as rollouts, completions, vocabulary and model grow, each alone.

From the root of a checkout. Random weights in small shapes; every point is a process of its own, one after the other.
Writes scaling.json and scaling.svg. bench/README.md says what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench import machine
from bench.command import add_threads, finish, parser, positive
from bench.drawing import EDGE, LINE, about_lines, file, sheet
from bench.growth.points import AXES, BASE, PARTS, RANK, Axis, Job, Point
from bench.race import alone, progress
from unswayed.report.canvas import SMALL, Canvas, house_style
from unswayed.report.numbers import count
from unswayed.report.svg import arm_ink, ink

LOGIT_BYTES = 4  # one float32 logit
WIDE, HIGH, ROOM, TITLE = 168.0, 96.0, 62.0, 34.0  # of one plot: its field, what is left of it, what is above it
FOOT = 34.0


def measure(names: Sequence[str], threads: int, steps: int) -> dict[str, Any]:
    """Measure every point once, however many axes it lies on, and fit."""
    axes = [axis for axis in AXES if axis.name in names]
    points = list(dict.fromkeys(point for axis in axes for point in axis.points))
    measured: dict[Point, dict[str, Any]] = {}
    for point in points:
        one = measured[point] = alone("step", ("bench.growth.measure", {}), Job(point, threads, steps))
        progress(f"{len(measured)} of {len(points)}: {one['step']:.2f} s, {one['peak'] / 2**20:.0f} MiB above set-up")
    return {
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


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, float | None]:
    """Return slope, intercept and R² of the least-squares line; R² is None where y does not change at all."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = np.subtract(y, slope * np.asarray(x) + intercept)
    spread = float(np.sum(np.square(np.subtract(y, np.mean(y)))))
    r2 = 1.0 - float(np.sum(np.square(rest))) / spread if spread > 0 else None
    return {"slope": float(slope), "intercept": float(intercept), "r2": r2}


def fits(axis: Axis, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the lines of memory (bytes) and seconds over an axis.

    `growth` is how many times larger memory and seconds are at the last point than at the first, beside the same for
    what grows. `logits` is what one copy of all logits would add for each unit of the vocabulary.
    """
    x = [float(point[axis.over]) for point in points]
    first, last = points[0], points[-1]
    found: dict[str, Any] = {
        "over": axis.over,
        "unit": axis.unit,
        "memory": line(x, [point["peak"] for point in points]),
        "seconds": line(x, [point["step"] for point in points]),
        "growth": {
            "x": x[-1] / x[0],
            "memory": last["peak"] / max(first["peak"], 1),
            "seconds": last["step"] / first["step"],
        },
    }
    if axis.over == "vocab":
        found["logits"] = float(LOGIT_BYTES * first["tokens"])
    return found


def headline(result: Mapping[str, Any]) -> str:
    """Return what the base step was, and on what, as one line."""
    base, settings = result["settings"]["base"], result["settings"]
    return (
        f"from {base['pairs']} pairs x {base['rollouts']} rollouts x {base['completion']} tokens, {base['vocab']:,} "
        f"words, {base['layers']} layers of width {base['hidden']}, {count(settings['threads'], 'thread')}, "
        f"{result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the result as text."""
    yield f"One OPCT step as one thing grows: {headline(result)}"
    yield machine.line(result)
    for axis in (axis for axis in AXES if axis.name in result["axes"]):
        entry = result["axes"][axis.name]
        fit, growth = entry["fits"], entry["fits"]["growth"]
        yield ""
        yield f"{axis.title:30}{'MiB':>8}{'s':>8}" + "".join(f"{part:>10}" for part in PARTS)
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


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: a column for each axis, memory above, seconds below."""
    about, width = headline(result), 2 * EDGE + len(AXES) * (WIDE + ROOM)
    lines = about_lines(about, width)
    top = EDGE + LINE * (1 + len(lines)) + 10
    canvas = sheet("One OPCT step as one thing grows", lines, top + 2 * (TITLE + HIGH + FOOT), width)
    for column, axis in enumerate(AXES):
        if axis.name not in result["axes"]:
            continue
        found = result["axes"][axis.name]
        x = [point[axis.over] for point in found["points"]]
        left = EDGE + ROOM + column * (WIDE + ROOM)
        for row, (key, of, unit, scale) in enumerate((("peak", "memory", "MiB", 2**20), ("step", "seconds", "s", 1))):
            y = [point[key] / scale for point in found["points"]]
            fit = found["fits"][of]
            at = top + TITLE + row * (TITLE + HIGH + FOOT)
            r2 = "" if fit["r2"] is None else f", R² {_r2(fit)}"
            canvas.text(left, at - 18, "" if row else axis.title, bold=True)
            canvas.text(left, at - 5, f"{unit}{r2}", color="muted", size=SMALL)
            _plot(canvas, left, at, x, y, [(fit["intercept"] + fit["slope"] * one) / scale for one in x])
            if row:
                canvas.text(left, at + HIGH + 28, axis.unit, color="muted", size=SMALL)
    return file(canvas.svg("scaling", f"Memory above set-up and seconds of one OPCT step: {about}."))


def _plot(
    canvas: Canvas, left: float, top: float, x: Sequence[float], y: Sequence[float], fit: Sequence[float]
) -> None:
    """Draw points and their line, both axes from zero."""
    most = max(*y, *fit) or 1.0
    across = [left + WIDE * one / max(x) for one in x]

    def up(value: float) -> float:
        return top + HIGH * (1 - value / most)

    canvas.line([left, left, left + WIDE], [top, top + HIGH, top + HIGH], ink("grid"))
    canvas.line(across, [up(one) for one in fit], arm_ink(0), width=1.5, kind="data")
    for place, one in zip(across, y, strict=True):
        canvas.mark(place, up(one), 0, arm_ink(1), kind="data")
    canvas.text(left - 6, top + 8, _short(most), color="muted", size=SMALL, align="right")
    canvas.text(left - 6, top + HIGH, "0", color="muted", size=SMALL, align="right")
    canvas.text(left + WIDE, top + HIGH + 14, _short(max(x)), color="muted", size=SMALL, align="right")


def _short(number: float) -> str:
    for size, name in ((1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e6 if name == 'M' else 1e3):.3g}{name}"
    return f"{number:.3g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    made = parser("scaling", __doc__)
    names = [axis.name for axis in AXES]
    made.add_argument("--axes", nargs="+", choices=names, default=names, metavar="AXIS", help=", ".join(names))
    made.add_argument(
        "--steps", type=positive, default=2, metavar="N", help="measured steps, after one for memory (%(default)s)"
    )
    add_threads(made)
    options = made.parse_args(argv)
    return finish("scaling", options, lambda: measure(options.axes, options.threads, options.steps), table, draw)


if __name__ == "__main__":
    sys.exit(main())
