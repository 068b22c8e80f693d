"""The result as a drawing: for each axis the memory and the seconds of a step, with the line through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.growth.points import AXES
from bench.step.chart import EDGE, LINE, standing
from unswayed.report.canvas import SMALL, Canvas, house_style, wrap
from unswayed.report.svg import arm_ink, ink

WIDE, HIGH, ROOM, TITLE = 168.0, 96.0, 62.0, 34.0  # of one plot: its field, what is left of it, what is above it
FOOT = 34.0


@house_style()
def draw(result: Mapping[str, Any], about: str) -> str:
    """Return one SVG file: a column for each axis, memory above, seconds below."""
    width = 2 * EDGE + len(AXES) * (WIDE + ROOM)
    lines = wrap(about, width - 2 * EDGE, SMALL)
    top = EDGE + LINE * (1 + len(lines)) + 10
    canvas = Canvas(width, top + 2 * (TITLE + HIGH + FOOT))
    canvas.text(EDGE, EDGE + 8, "One OPCT step as one thing grows", size=15, bold=True)
    for place, text in enumerate(lines):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, text, color="muted", size=SMALL)
    for column, axis in enumerate(AXES):
        if axis.name not in result["axes"]:
            continue
        found = result["axes"][axis.name]
        x = [point[axis.over] for point in found["points"]]
        left = EDGE + ROOM + column * (WIDE + ROOM)
        for row, (key, unit, scale) in enumerate((("peak", "MiB", 2**20), ("step", "s", 1))):
            y = [point[key] / scale for point in found["points"]]
            fit = found["fits"]["memory" if key == "peak" else "seconds"]
            at = top + TITLE + row * (TITLE + HIGH + FOOT)
            r2 = "" if fit["r2"] is None else f", R² {fit['r2']:.3f}"
            canvas.text(left, at - 18, axis.title if row == 0 else "", bold=True)
            canvas.text(left, at - 5, f"{unit}{r2}", color="muted", size=SMALL)
            _plot(canvas, left, at, x, y, [(fit["intercept"] + fit["slope"] * one) / scale for one in x])
            if row:
                canvas.text(left, at + HIGH + 28, axis.unit, color="muted", size=SMALL)
    return standing(canvas.svg("scaling", f"Memory above set-up and seconds of one OPCT step: {about}."))


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
