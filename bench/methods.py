"""Every method under one budget: the same optimizer steps, drawn tokens, LoRA and tuning effort, three seeds each.

From the root of a checkout. Takes hours on two cores and goes on where it stopped. Prints the table as Markdown and
writes methods.json and methods.svg. bench/README.md says what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.budget.arms import ARMS, DRAWS, MODEL, NEW_TOKENS, RANK, RATES, STEPS
from bench.budget.jobs import SEEDS, run_all
from bench.budget.table import COLUMNS, OURS, collect, markdown, percent, sentences
from bench.command import finish, parser, positive
from bench.drawing import EDGE, LINE, about_lines, file, ordered, sheet
from unswayed.report.canvas import SMALL, Canvas, house_style, wrap
from unswayed.report.svg import arm_ink, ink

HEADLINE = (
    f"{MODEL}, LoRA rank {RANK}, {STEPS} optimizer steps and completions for {DRAWS} prompts of at most {NEW_TOKENS} "
    f"tokens to learn from, the best of {len(RATES)} learning rates on questions set aside, {len(SEEDS)} training "
    "seeds. 95% intervals over questions and seeds; dashed: the untrained model."
)
WIDTH, LABELS, GAP, STEP = 900.0, 182.0, 34.0, 22.0


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of the result as Markdown."""
    return [HEADLINE, "", *markdown(result), "", "Better than exact OPCT:", "", *sentences(result)]


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: a dot and its interval for each method, a panel for each rate.

    The dashed line is the untrained model; an arrow says which way is better.
    """
    rows = ordered(result["arms"], ARMS)
    about = [line for part in HEADLINE.split(". ") for line in about_lines(part.rstrip(".") + ".", WIDTH)]
    top = EDGE + LINE * (2 + len(about)) + LINE * 3
    bottom = top + STEP * len(rows)
    canvas = sheet("Every method on the same budget", about, bottom + LINE * 2, WIDTH)
    for place, (name, row) in enumerate(rows.items()):
        canvas.text(LABELS - 8, top + STEP * place + 15, row["title"], align="right", bold=name == OURS)
    room = (WIDTH - EDGE - LABELS - GAP * (len(COLUMNS) - 1)) / len(COLUMNS)
    for number, (column, (title, _, _, better)) in enumerate(COLUMNS.items()):
        left = LABELS + number * (room + GAP)
        _panel(canvas, rows, column, result["base"][column]["value"], (left, room, top, bottom))
        for place, line in enumerate(wrap(title, room, SMALL, lines=2)):
            canvas.text(left, top - LINE * 2 - 8 + LINE * place * 0.85, line, size=SMALL)
        if better == "lower":
            canvas.text(left, top - 4, "← better", color="muted", size=SMALL)
        else:
            canvas.text(left + room, top - 4, "better →", color="muted", size=SMALL, align="right")
    shown = "; ".join(
        f"{row['title']}: " + ", ".join(f"{COLUMNS[c][0]} {percent(row[c]).partition(' (')[0]}" for c in COLUMNS)
        for row in rows.values()
    )
    return file(canvas.svg("methods", f"{HEADLINE} {shown}."))


def _panel(
    canvas: Canvas, rows: Mapping[str, Any], column: str, start: float | None, field: tuple[float, float, float, float]
) -> None:
    left, room, top, bottom = field

    def at(rate: float) -> float:
        return left + room * rate

    for tick in (0.0, 0.5, 1.0):
        canvas.line([at(tick), at(tick)], [top, bottom], ink("grid"))
        text = f"{100 * tick:.0f}{'%' if tick else ''}"
        canvas.text(at(tick), bottom + 14, text, color="muted", size=SMALL, align="center")
    if start is not None:
        canvas.line([at(start), at(start)], [top, bottom], ink("muted"), style=(0, (3, 3)))
    for place, (name, row) in enumerate(rows.items()):
        y = top + STEP * place + 11
        rate, color = row[column], arm_ink(2 if name == OURS else 1)
        if rate["value"] is None:
            continue
        canvas.line([at(rate["low"]), at(rate["high"])], [y, y], color, width=2.0, kind="data")
        canvas.mark(at(rate["value"]), y, 0, color, size=6.5, kind="data")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    made = parser("methods", __doc__)
    made.add_argument("--work", type=Path, default=Path("runs/bench-methods"), metavar="DIR", help="runs (%(default)s)")
    made.add_argument(
        "--jobs", type=positive, default=machine.physical_cores(), metavar="N", help="runs at a time (%(default)s)"
    )
    made.add_argument(
        "--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM", help=f"of {', '.join(ARMS)}"
    )
    options = made.parse_args(argv)
    work = options.work.absolute()

    def measure() -> dict[str, Any]:
        return collect(work, options.arms, run_all(work, options.arms, options.jobs))

    return finish("methods", options, measure, table, draw)


if __name__ == "__main__":
    sys.exit(main())
