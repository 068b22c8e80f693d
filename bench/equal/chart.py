"""The table as a drawing that stands by itself: a dot and its interval for each method, a panel for each rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.equal.table import COLUMNS, OURS
from bench.step.chart import standing
from unswayed.report.canvas import SMALL, Canvas, house_style, wrap
from unswayed.report.svg import arm_ink, ink

WIDTH, EDGE, LABELS, GAP = 900.0, 16.0, 182.0, 34.0
LINE, STEP = 17.0, 22.0


@house_style()
def draw(result: Mapping[str, Any], headline: str) -> str:
    """Return one SVG file. The dashed line is the untrained model; an arrow says which way is better."""
    rows = list(result["arms"].items())
    about = [line for part in headline.split(". ") for line in wrap(part.rstrip(".") + ".", WIDTH - 2 * EDGE, SMALL)]
    top = EDGE + LINE * (2 + len(about)) + LINE * 3
    bottom = top + STEP * len(rows)
    canvas = Canvas(WIDTH, bottom + LINE * 2)
    canvas.text(EDGE, EDGE + 8, "Every method on the same budget", size=15, bold=True)
    for place, line in enumerate(about):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    for place, (name, row) in enumerate(rows):
        canvas.text(LABELS - 8, top + STEP * place + 15, row["title"], align="right", bold=name == OURS)
    room = (WIDTH - EDGE - LABELS - GAP * (len(COLUMNS) - 1)) / len(COLUMNS)
    for number, (column, (title, _, _, better)) in enumerate(COLUMNS.items()):
        left = LABELS + number * (room + GAP)
        _panel(canvas, result, column, left, room, top, bottom)
        for place, line in enumerate(wrap(title, room, SMALL, lines=2)):
            canvas.text(left, top - LINE * 2 - 8 + LINE * place * 0.85, line, size=SMALL)
        arrow = "← better" if better == "lower" else "better →"
        canvas.text(left + (0 if better == "lower" else room), top - 4, arrow, color="muted", size=SMALL,
                    align="left" if better == "lower" else "right")  # fmt: skip
    shown = "; ".join(
        f"{row['title']}: " + ", ".join(f"{COLUMNS[c][0]} {100 * row[c]['value']:.0f}%" for c in COLUMNS)
        for _, row in rows
    )
    return standing(canvas.svg("methods", f"{headline} {shown}."))


def _panel(
    canvas: Canvas, result: Mapping[str, Any], column: str, left: float, room: float, top: float, bottom: float
) -> None:
    def at(rate: float) -> float:
        return left + room * rate

    for tick in (0.0, 0.5, 1.0):
        canvas.line([at(tick), at(tick)], [top, bottom], ink("grid"))
        canvas.text(at(tick), bottom + 14, f"{100 * tick:.0f}{'%' if tick else ''}", color="muted", size=SMALL,
                    align="center")  # fmt: skip
    start = result["base"][column]["value"]
    canvas.line([at(start), at(start)], [top, bottom], ink("muted"), style=(0, (3, 3)))
    for place, (name, row) in enumerate(result["arms"].items()):
        y = top + STEP * place + 11
        rate, color = row[column], arm_ink(2 if name == OURS else 1)
        canvas.line([at(rate["low"]), at(rate["high"])], [y, y], color, width=2.0, kind="data")
        canvas.mark(at(rate["value"]), y, 0, color, size=6.5, kind="data")
