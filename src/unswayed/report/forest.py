"""One figure for a whole comparison: every difference with its interval, margin and detectable effect, and the flips.

Differences are drawn in the better direction, so everything to the right of the middle line is good news, whatever the
metric counts. What a verdict says is in the mark's shape as well as in its colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unswayed.evals.metrics import metric
from unswayed.report.canvas import SMALL, Canvas, house_style, measure, one_line, shorten, wrap
from unswayed.report.legend import EDGE, LINE, Entry, flow, legend
from unswayed.report.numbers import change
from unswayed.report.svg import ink

if TYPE_CHECKING:
    from unswayed.core.types import Effect
    from unswayed.evals.compare.comparison import Comparison

BROAD, NARROW = 760.0, 328.0
ROW, GAP = 24.0, 12.0
_MARKS = {
    "improved": ("o", "better", True),
    "worse": ("s", "worse", True),
    "no material change": ("D", "same", True),
    "not known": ("o", "unknown", False),
}


@house_style()
def forest(comparison: Comparison, *, width: float = BROAD, name: str = "forest") -> str | None:
    """Draw every primary and counter-metric's difference and flips; None where nothing was paired.

    Args:
        comparison: what to draw.
        width: `BROAD` puts label, interval and flips side by side, anything else below each other.
        name: prefix of the drawing's ids.
    """
    sections = [(one.title, _rows(one)) for one in comparison.suites]
    effects = [effect for _, rows in sections for effect, _ in rows]
    if all(effect.difference is None for effect in effects):
        return None
    wide = width >= BROAD
    left, right = (216.0, 520.0) if wide else (EDGE, width - EDGE)
    at = _axis(effects, left, right)
    entries = _entries(effects)
    titles = [wrap(title, 0.85 * (width - 2 * EDGE), lines=2) for title, _ in sections]
    step = ROW if wide else 2 * LINE + ROW - 4
    top = LINE * len(flow(entries, width)) + 10
    height = (
        top
        + sum(
            LINE * len(lines) + 24 + step * len(rows) + GAP for lines, (_, rows) in zip(titles, sections, strict=True)
        )
        + 24
    )
    canvas = Canvas(width, height)
    legend(canvas, entries)
    y = top
    flips = max([effect.fixed for effect in effects] + [effect.broken for effect in effects] + [1])
    for lines, (_, rows) in zip(titles, sections, strict=True):
        for line in lines:
            y += LINE
            canvas.text(EDGE, y, line, bold=True)
        y += 20
        canvas.text(left, y, "← worse", color="muted", size=SMALL)
        canvas.text(right, y, "better →", color="muted", size=SMALL, align="right")
        if wide:
            canvas.text(664, y, "broken", color="muted", size=SMALL, align="right")
            canvas.text(676, y, "fixed", color="muted", size=SMALL)
        y += 4
        if wide:
            _grid(canvas, at, y, y + step * len(rows), _ticks(at))
        for effect, primary in rows:
            place = y + step / 2 if wide else y + 2 * LINE + (ROW - 4) / 2
            if not wide:
                _grid(canvas, at, place - ROW / 2, place + ROW / 2, _ticks(at))
            _difference(canvas, at, effect, place)
            if wide:
                label = shorten(_label(effect), left - EDGE - 14)
                canvas.text(EDGE, place + 4, label, color="ink" if primary else "muted")
                canvas.text(580, place + 4, _value(effect), size=SMALL, align="right")
                _butterfly(canvas, effect, place, flips)
            else:
                canvas.text(
                    EDGE, y + LINE - 3, shorten(_label(effect), width - 2 * EDGE), color="ink" if primary else "muted"
                )
                said = f"{_value(effect)} · {effect.fixed:,} fixed, {effect.broken:,} broken"
                canvas.text(EDGE, y + 2 * LINE - 5, said, color="muted", size=SMALL)
            y += step
        y += GAP
    _scale(canvas, at, y - GAP + 16, _ticks(at), wide=wide)
    return canvas.svg(
        name, "Paired differences in the better direction with 95% intervals, and flips, by suite and metric."
    )


class _Scale:
    """Differences to pixels, with the ticks that fit."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        self.low, self.high, self.left, self.right = low, high, left, right

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + (self.right - self.left) * share


def _axis(effects: Sequence[Effect], left: float, right: float) -> _Scale:
    numbers = [0.0]
    for effect in effects:
        up = _up(effect)
        numbers += [up * value for value in (effect.difference, effect.low, effect.high) if value is not None]
        numbers += [-effect.margin, effect.margin]
    low, high = min(numbers), max(numbers)
    room = 0.04 * max(high - low, 0.02)
    return _Scale(low - room, high + room, left, right)


def _ticks(at: _Scale) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(100 * at.low, 100 * at.high)
    return [float(tick) / 100 for tick in found if at.low <= tick / 100 <= at.high]


def _grid(canvas: Canvas, at: _Scale, top: float, bottom: float, ticks: Sequence[float]) -> None:
    for tick in ticks:
        color = ink("muted") if abs(tick) < 1e-9 else ink("grid")
        canvas.line([at(tick), at(tick)], [top, bottom], color, width=1)
    canvas.line([at(0), at(0)], [top, bottom], ink("muted"), width=1)


def _scale(canvas: Canvas, at: _Scale, y: float, ticks: Sequence[float], *, wide: bool) -> None:
    for tick in ticks:
        text = f"{100 * tick:+g}".replace("-", "−") if abs(tick) > 1e-9 else "0"
        half = measure(text, SMALL) / 2
        canvas.text(min(max(at(tick), half), canvas.width - half), y, text, color="muted", size=SMALL, align="center")
    if wide:
        canvas.text(at.left - 14, y, "points", color="muted", size=SMALL, align="right")


def _rows(one: Any) -> list[tuple[Effect, bool]]:
    """Return the suite's primary and counter-metrics; those that every suite has are in the table of arms."""
    return [
        (effect, primary)
        for effect, primary in zip(one.effects, one.primary, strict=True)
        if primary or one.before.role(effect.metric) != "health"
    ]


def _up(effect: Effect) -> int:
    return 1 if metric(effect.metric).better == "higher" else -1


def _label(effect: Effect) -> str:
    return one_line(f"{effect.metric} {'↑' if _up(effect) > 0 else '↓'}")


def _value(effect: Effect) -> str:
    return "no pairs" if effect.difference is None else change(effect.difference)


def _difference(canvas: Canvas, at: _Scale, effect: Effect, y: float) -> None:
    """Draw one margin, interval and mark, with ticks at the smallest change that would show."""
    up = _up(effect)
    x = at(-effect.margin)
    canvas.box(x, y - 7, at(effect.margin) - x, 14, ink("band"))
    canvas.line([at(0), at(0)], [y - 7, y + 7], ink("muted"), width=1)
    if effect.difference is None:
        return
    for sign in (-1, 1):
        if effect.detectable is not None and at.low < sign * effect.detectable < at.high:
            tick = at(sign * effect.detectable)
            canvas.line([tick, tick], [y - 5, y + 5], ink("muted"), width=1.2)
    shape, color, filled = _MARKS[effect.verdict]
    if effect.low is not None and effect.high is not None:
        ends = sorted((at(up * effect.low), at(up * effect.high)))
        canvas.line(ends, [y, y], ink(color), width=2.2, kind="data")
    for value in effect.by_seed:
        canvas.line([at(up * value)] * 2, [y - 6, y - 3], ink(color), width=1.6)
    _mark(canvas, at(up * effect.difference), y, shape, color, filled=filled, kind="data")


def _mark(canvas: Canvas, x: float, y: float, shape: str, color: str, *, filled: bool, kind: str) -> None:
    edge = "paper" if filled else color
    canvas.axes.plot(
        [x], [y], marker=shape, ms=7.5 if shape != "D" else 6.5, mfc=ink(color if filled else "paper"), mec=ink(edge),
        mew=1.2 if filled else 1.8, ls="none", gid=f"u-{kind}",
    )  # fmt: skip


def _butterfly(canvas: Canvas, effect: Effect, y: float, most: int) -> None:
    """Draw how many pairs were broken, to the left, and fixed, to the right."""
    for number, color, side in ((effect.broken, "worse", -1), (effect.fixed, "better", 1)):
        length = 42 * number / most
        middle = 670 + 3 * side
        canvas.box(middle if side > 0 else middle - length, y - 5, length, 10, ink(color))
        canvas.text(
            middle + side * (length + 5), y + 4, f"{number:,}", color="muted", size=SMALL,
            align="left" if side > 0 else "right",
        )  # fmt: skip
    canvas.line([670, 670], [y - 8, y + 8], ink("muted"), width=1)


def _entries(effects: Sequence[Effect]) -> list[Entry]:
    def dot(shape: str, color: str, filled: bool) -> Callable[[Canvas, float, float], None]:
        def draw(canvas: Canvas, x: float, y: float) -> None:
            canvas.line([x, x + 18], [y, y], ink(color), width=2.2, kind="legend")
            _mark(canvas, x + 9, y, shape, color, filled=filled, kind="legend")

        return draw

    def margin(canvas: Canvas, x: float, y: float) -> None:
        canvas.box(x, y - 6, 18, 12, ink("band"), kind="legend")

    def detectable(canvas: Canvas, x: float, y: float) -> None:
        for offset in (4, 14):
            canvas.line([x + offset, x + offset], [y - 5, y + 5], ink("muted"), width=1.2, kind="legend")

    def seeds(canvas: Canvas, x: float, y: float) -> None:
        for offset in (4, 9, 14):
            canvas.line([x + offset, x + offset], [y - 2, y + 2], ink("muted"), width=1.6, kind="legend")

    entries: list[Entry] = [(verdict, dot(*look)) for verdict, look in _MARKS.items()]
    entries += [("margin", margin), ("smallest change that would show", detectable)]
    return [*entries, ("each training seed", seeds)] if any(effect.by_seed for effect in effects) else entries
