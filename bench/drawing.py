"""What all drawings share: the sheet with its title, a scale, bars, a legend, and the file that results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unswayed.report.canvas import SMALL, Canvas, measure, wrap
from unswayed.report.svg import arm_ink, ink

WIDTH, EDGE, LABELS, VALUES = 720.0, 16.0, 190.0, 60.0
LINE, BAR, STEP, SPACE = 17.0, 15.0, 26.0, 34.0
ARMS_STYLE = """<style>
svg { --paper: #ffffff; --ink: #1a1e23; --muted: #535b65; --grid: #e3e6ea; --arm-0: #8a929c; --arm-1: #c25400;
  --arm-2: #1261b0; --arm-3: #19795a; --arm-4: #8a3ba3; background: var(--paper); }
text { font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --ink: #e7e9ec; --muted: #a7afb9; --grid: #2a3037; --arm-0: #7d8793; --arm-1: #f5934a;
    --arm-2: #6db1f2; --arm-3: #5cc79f; --arm-4: #cf90e3; }
}
</style>"""
VERDICT_STYLE = """<style>
svg { --paper: #ffffff; --ink: #1a1e23; --muted: #535b65; --grid: #e3e6ea; --band: #e4e8ed; --better: #0a5c48;
  --worse: #9b1c1c; --unknown: #664a00; --same: #3d454e; --arm-1: #c25400; background: var(--paper); }
text { font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --ink: #e7e9ec; --muted: #a7afb9; --grid: #2a3037; --band: #2b323a; --better: #86d9bd;
    --worse: #ffab9e; --unknown: #efcd78; --same: #c5cbd2; --arm-1: #f5934a; }
}
</style>"""

Place = Callable[[float], float]


def ordered(found: Mapping[str, Any], names: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries in the order of these names: a file that was read back has them sorted by letters."""
    return {name: found[name] for name in names if name in found}


def file(svg: str, style: str = ARMS_STYLE) -> str:
    """Return a drawing made for a page as a file of its own size, with its colours."""
    opening, rest = svg.split(">", 1)
    width, height = opening.split('viewBox="', 1)[1].split('"', 1)[0].split()[2:]
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f"{opening.replace('<svg', f'<svg {size}', 1)}>{style}{rest}\n"


def about_lines(about: str, width: float = WIDTH) -> list[str]:
    """Break what stands below a title into lines."""
    return wrap(about, width - 2 * EDGE, SMALL)


def sheet(title: str, about: Sequence[str], height: float, width: float = WIDTH) -> Canvas:
    """Return a canvas with a title and the lines below it."""
    canvas = Canvas(width, height)
    canvas.text(EDGE, EDGE + 8, title, size=15, bold=True)
    for place, line in enumerate(about):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    return canvas


def legend(
    canvas: Canvas, y: float, colours: Mapping[str, int], dots: str, *, size: float = 5, floor: bool = False
) -> None:
    """Draw a legend in one line: coloured fields, what a dot is, and where asked the line of the floor."""
    x = LABELS
    for name, colour in colours.items():
        canvas.box(x, y - 9, 10, 10, arm_ink(colour))
        canvas.text(x + 15, y, name, color="muted", size=SMALL)
        x += 15 + measure(name, SMALL) + 16
    canvas.mark(x + 4, y - 4, 0, ink("ink"), size=size)
    canvas.text(x + 12, y, dots, color="muted", size=SMALL)
    if floor:
        x += 12 + measure(dots, SMALL) + 16
        canvas.line([x, x], [y - 10, y + 2], ink("ink"))
        canvas.text(x + 6, y, "floor", color="muted", size=SMALL)


def scale(canvas: Canvas, top: float, bottom: float, longest: float, unit: str) -> Place:
    """Draw grid lines at round numbers and return the place of a number."""
    room = WIDTH - EDGE - VALUES - LABELS
    longest = longest or 1.0
    power = 10.0 ** math.floor(math.log10(longest))
    tick = next(step * power for step in (0.2, 0.5, 1, 2) if longest / (step * power) <= 6)

    def at(number: float) -> float:
        return LABELS + room * number / longest

    for place in range(int(longest / tick + 1e-9) + 1):
        x, text = at(place * tick), f"{place * tick:g}{f' {unit}' if place == 0 else ''}"
        canvas.line([x, x], [top, bottom], ink("grid"))
        canvas.text(x, bottom + 13, text, color="muted", size=SMALL, align="center")
    return at


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its parts as (length, colour), the text at the end of its line, and single rounds as dots.

    `floor` draws a line at the least that is possible.
    """

    label: str
    parts: Sequence[tuple[float, str]]
    value: str
    dots: Sequence[float] = ()
    floor: float | None = None
    color: str = "ink"

    @property
    def longest(self) -> float:
        return max(sum(length for length, _ in self.parts), *self.dots, 0.0)


def bars(canvas: Canvas, top: float, bars: Sequence[Bar], at: Place) -> None:
    """Draw bars below each other."""
    for place, bar in enumerate(bars):
        y = top + STEP * place + 6
        canvas.text(LABELS - 8, y + BAR - 3, bar.label, align="right", color=bar.color)
        left = 0.0
        for length, color in bar.parts:
            if length:
                canvas.box(at(left), y, at(left + length) - at(left), BAR, color, kind="data")
                left += length
        if bar.floor is not None:
            canvas.line([at(bar.floor)] * 2, [y - 2, y + BAR + 2], ink("ink"), kind="data")
        for dot in bar.dots:
            canvas.mark(at(dot), y + BAR / 2, 0, ink("ink"), size=5, kind="data")
        canvas.text(WIDTH - EDGE, y + BAR - 3, bar.value, align="right")


def memory_bars(canvas: Canvas, top: float, title: str, arms: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Draw each arm's peak memory above what was resident before the first step."""
    canvas.text(LABELS, top, title, color="muted", size=SMALL)
    mib = {name: arm["peak_above_ready"] / 2**20 for name, arm in arms.items()}
    top += LINE / 2
    at = scale(canvas, top, top + STEP * len(arms), max(mib.values()), "MiB")
    rows = [Bar(arms[name]["title"], [(one, colours[name])], f"{one:.0f} MiB") for name, one in mib.items()]
    bars(canvas, top, rows, at)
