"""The result as a drawing that stands by itself: seconds by phase, and memory, a bar for each arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.step.render import PHASE_TITLES, headline
from bench.step.work import PHASES
from unswayed.report.canvas import SMALL, Canvas, house_style, measure, wrap
from unswayed.report.svg import arm_ink, ink

WIDTH, EDGE, LABELS, VALUES = 720.0, 16.0, 190.0, 60.0
LINE, BAR, STEP, SPACE = 17.0, 15.0, 26.0, 34.0
COLOURS = {"sample": 2, "teacher": 3, "learn": 1, "optim": 4, "other": 0}
STYLE = """<style>
svg { --paper: #ffffff; --ink: #1a1e23; --muted: #535b65; --grid: #e3e6ea; --arm-0: #8a929c; --arm-1: #c25400;
  --arm-2: #1261b0; --arm-3: #19795a; --arm-4: #8a3ba3; background: var(--paper); }
text { font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --ink: #e7e9ec; --muted: #a7afb9; --grid: #2a3037; --arm-0: #7d8793; --arm-1: #f5934a;
    --arm-2: #6db1f2; --arm-3: #5cc79f; --arm-4: #cf90e3; }
}
</style>"""


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file. Dots are single steps; the floor is drawn for the tokens of our arm."""
    arms = list(result["arms"].values())
    about = wrap(headline(result), WIDTH - 2 * EDGE, SMALL)
    floor = result["floor"]
    top = EDGE + LINE * (2 + len(about))
    seconds_end = top + LINE + STEP * (len(arms) + 1)
    height = seconds_end + SPACE + LINE + STEP * len(arms) + SPACE
    canvas = Canvas(WIDTH, height)
    canvas.text(EDGE, EDGE + 8, "One OPCT step", size=15, bold=True)
    for place, line in enumerate(about):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    rows = [(arm["title"], arm["phases"], arm["seconds"], [step["seconds"] for step in arm["steps"]]) for arm in arms]
    least = {phase: entry["seconds"] for phase, entry in floor["phases"].items()}
    rows.append(("floor", least, floor["seconds"], []))
    longest = max(max([total, sum(phases.values()), *single]) for _, phases, total, single in rows)
    _legend(canvas, top)
    at = scale(canvas, top + LINE, seconds_end, longest, "s")
    for place, (title, phases, total, single) in enumerate(rows):
        y = top + LINE + STEP * place + 6
        canvas.text(LABELS - 8, y + BAR - 3, title, align="right", color="muted" if title == "floor" else "ink")
        left = 0.0
        for phase in PHASES:
            if seconds := phases.get(phase, 0.0):
                canvas.box(at(left), y, at(left + seconds) - at(left), BAR, arm_ink(COLOURS[phase]), kind="data")
                left += seconds
        for step in single:
            canvas.mark(at(step), y + BAR / 2, 0, ink("ink"), size=5, kind="data")
        canvas.text(WIDTH - EDGE, y + BAR - 3, f"{total:.2f} s", align="right")
    top = seconds_end + SPACE
    canvas.text(LABELS, top, "peak memory above the loaded model", color="muted", size=SMALL)
    memory = [arm["peak_above_ready"] / 2**20 for arm in arms]
    at = scale(canvas, top + LINE / 2, top + LINE / 2 + STEP * len(arms), max(memory), "MiB")
    for place, (arm, mib) in enumerate(zip(arms, memory, strict=True)):
        y = top + LINE / 2 + STEP * place + 6
        canvas.text(LABELS - 8, y + BAR - 3, arm["title"], align="right")
        canvas.box(at(0), y, at(mib) - at(0), BAR, ink("muted"), kind="data")
        canvas.text(WIDTH - EDGE, y + BAR - 3, f"{mib:.0f} MiB", align="right")
    shown = ", ".join(f"{title} {total:.2f} s" for title, _, total, _ in rows)
    return standing(canvas.svg("opct-step", f"One OPCT step: {headline(result)}. Median seconds a step: {shown}."))


def standing(svg: str, style: str = STYLE) -> str:
    """Return a drawing made for a page as a file of its own size, with its colours."""
    opening, rest = svg.split(">", 1)
    width, height = opening.split('viewBox="', 1)[1].split('"', 1)[0].split()[2:]
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f"{opening.replace('<svg', f'<svg {size}', 1)}>{style}{rest}\n"


def _legend(canvas: Canvas, y: float) -> None:
    x = LABELS
    for phase in PHASES:
        canvas.box(x, y - 9, 10, 10, arm_ink(COLOURS[phase]))
        canvas.text(x + 15, y, PHASE_TITLES[phase], color="muted", size=SMALL)
        x += 15 + measure(PHASE_TITLES[phase], SMALL) + 16
    canvas.mark(x + 4, y - 4, 0, ink("ink"), size=5)
    canvas.text(x + 12, y, "a single step", color="muted", size=SMALL)


def scale(canvas: Canvas, top: float, bottom: float, longest: float, unit: str) -> Any:
    """Draw grid lines at round numbers and return the place of a number."""
    room = WIDTH - EDGE - VALUES - LABELS
    longest = longest or 1.0
    power = 10.0 ** math.floor(math.log10(longest))
    tick = next(step * power for step in (0.2, 0.5, 1, 2) if longest / (step * power) <= 6)

    def at(number: float) -> float:
        return LABELS + room * number / longest

    for place in range(int(longest / tick + 1e-9) + 1):
        x = at(place * tick)
        canvas.line([x, x], [top, bottom], ink("grid"))
        canvas.text(
            x,
            bottom + 13,
            f"{place * tick:g}{f' {unit}' if place == 0 else ''}",
            color="muted",
            size=SMALL,
            align="center",
        )
    return at
