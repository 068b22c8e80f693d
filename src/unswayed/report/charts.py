"""The report's three drawings: rates with intervals, paired differences, training curves.

Each comes in the width asked for, with text at its natural size, so a page can hold a wide and a narrow one. Arms
differ in colour and in the shape of their mark. `rates` and `differences` of one report and width line up row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unswayed.report.canvas import SMALL, Canvas, house_style, measure, one_line, wrap
from unswayed.report.legend import EDGE, LINE, Entry, flow, legend
from unswayed.report.model import Arm, Report, Row
from unswayed.report.numbers import change, level
from unswayed.report.svg import arm_ink, ink

WIDE, NARROW = 540.0, 328.0
VALUES = 60.0  # pixels of the column of printed values
SLOT, GAP, AXIS = 15.0, 16.0, 26.0  # heights: an arm, between rows, the scale
STYLES: tuple[Any, ...] = ("-", "-", (0, (4, 1.5)), (0, (1.5, 1.2)), (0, (7, 1.5, 1.5, 1.5)))


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one row stands: its label's lines from `top`, then one slot for each arm from `first` to `end`.

    `section` holds the lines of a heading above it, where one begins.
    """

    row: Row
    section: tuple[str, ...]
    label: tuple[str, ...]
    top: float
    first: float
    end: float


@house_style()
def rates(report: Report, *, width: float = WIDE, name: str = "rates") -> str | None:
    """Draw every arm's rate on every row as a mark with its 95% interval; None where nothing was scored."""
    slots, height = _layout(report, width)
    if all(cell.estimate.value is None for slot in slots for cell in slot.row.cells.values()):
        return None
    canvas, left, right = Canvas(width, height), EDGE, width - EDGE - VALUES
    legend(canvas, _arm_entries(report, report.arms))

    estimates = [cell.estimate for slot in slots for cell in slot.row.cells.values()]
    lowest = min([0.0, *(each.low for each in estimates if each.low is not None)])  # a difference may be below zero
    start = -25 if -0.25 <= lowest < 0 else -50 * math.ceil(-2 * lowest)

    def at(rate: float) -> float:
        return left + (right - left) * (100 * rate - start) / (100 - start)

    ticks = range(start, 101, 25 if start > -50 else 50)
    _scale(canvas, [(at(tick / 100), f"{tick}%".replace("-", "−")) for tick in ticks], slots)
    for slot in slots:
        _label(canvas, slot)
        for place, arm in enumerate(report.arms):
            y = slot.first + SLOT * (place + 0.5)
            color = arm_ink(place)
            cell = slot.row.cells.get(arm.id)
            if cell is None or cell.estimate.value is None:
                _value(canvas, y, "not run" if cell is None else "unscored")
                continue
            estimate = cell.estimate
            if estimate.low is not None and estimate.high is not None:
                canvas.line([at(estimate.low), at(estimate.high)], [y, y], color, width=2.2, kind="data")
            canvas.mark(at(cell.estimate.value), y, place, color, kind="data")
            _value(canvas, y, level(cell.estimate.value, slot.row.unit).removesuffix(" points"))
    return canvas.svg(name, "Rates with 95% intervals, by row and arm. The table below gives every number.")


@house_style()
def differences(report: Report, *, width: float = WIDE, name: str = "differences") -> str | None:
    """Draw every trained arm's paired difference to the baseline, with margins and smallest detectable changes.

    None where nothing was compared.
    """
    slots, height = _layout(report, width)
    effects = [cell.effect for slot in slots for cell in slot.row.cells.values() if cell.effect is not None]
    if all(effect.difference is None for effect in effects):
        return None
    canvas, left, right = Canvas(width, height), EDGE, width - EDGE - VALUES
    legend(canvas, _difference_entries(report))
    numbers = [0.0]
    for one in effects:
        around = [number for number in (one.margin, one.detectable) if number is not None]
        numbers += [number for number in (one.difference, one.low, one.high) if number is not None]
        numbers += [sign * number for number in around for sign in (-1, 1)]
    low, high = min(numbers), max(numbers)
    room = max(high - low, 0.02) * 0.04
    low, high = low - room, high + room

    def at(difference: float) -> float:
        return left + (right - left) * (difference - low) / (high - low)

    ticks = ticks_of(100 * low, 100 * high, count=5 if width < WIDE else 7)
    _scale(canvas, [(at(tick / 100), _points(tick)) for tick in ticks], slots)
    for slot in slots:
        for place, arm in enumerate(report.trained):
            cell = slot.row.cells.get(arm.id)
            if cell is not None and cell.effect is not None and cell.effect.margin > 0:
                x = at(-cell.effect.margin)
                y = slot.first + _shift(report) + SLOT * place
                canvas.box(x, y, at(cell.effect.margin) - x, SLOT, ink("band"))
    for slot in slots:
        canvas.line([at(0), at(0)], [slot.first, slot.end], ink("muted"), width=1)
        _label(canvas, slot)
        arrow = "← better" if slot.row.better == "lower" else "better →"
        canvas.text(width - EDGE, slot.top + LINE - 5, arrow, color="muted", size=SMALL, align="right")
        for place, arm in enumerate(report.trained):
            column = report.arms.index(arm)
            y = slot.first + _shift(report) + SLOT * (place + 0.5)
            color = arm_ink(column)
            cell = slot.row.cells.get(arm.id)
            effect = cell.effect if cell else None
            if effect is None or effect.difference is None:
                _value(canvas, y, "not run" if cell is None else "no pairs")
                continue
            if effect.detectable is not None:
                for sign in (-1, 1):
                    x = at(sign * effect.detectable)
                    canvas.line([x, x], [y - 4, y + 4], ink("muted"), width=1.2)
            if effect.low is not None and effect.high is not None:
                canvas.line([at(effect.low), at(effect.high)], [y, y], color, width=2.2, kind="data")
            canvas.mark(at(effect.difference), y, column, color, kind="data")
            _value(canvas, y, change(effect.difference))
    what = f"Paired differences to {one_line(report.base.label)} in percentage points, with 95% intervals"
    return canvas.svg(name, f"{what}. The table below gives every number.")


@house_style()
def training(report: Report, key: str, *, width: float = 320.0, name: str = "training") -> str | None:
    """Draw one metric over the steps of training, one line an arm; None where no arm has it."""
    curves = [curve for curve in report.curves if curve.metric.key == key and curve.points]
    if not curves:
        return None
    from matplotlib.ticker import MaxNLocator

    arms = [arm for arm in report.arms if any(curve.arm == arm.id for curve in curves)]
    columns = [report.arms.index(arm) for arm in arms]
    entries = [
        (arm.label, _stroke(arm_ink(column), STYLES[column % len(STYLES)]))
        for arm, column in zip(arms, columns, strict=True)
    ]
    head = LINE * len(flow(entries, width)) + 8
    plot, foot = 150.0, 34.0
    canvas = Canvas(width, head + plot + foot)
    legend(canvas, entries)
    below, tall = foot / canvas.height, plot / canvas.height
    axes: Any = canvas.figure.add_axes((0, below, 1, tall))
    for curve in curves:
        column = columns[[arm.id for arm in arms].index(curve.arm)]
        steps, values = zip(*curve.points, strict=True)
        dots = MARK_SINGLE if len(steps) == 1 else {}
        style = STYLES[column % len(STYLES)]
        axes.plot(steps, values, color=arm_ink(column), lw=1.6, ls=style, gid="u-data", solid_joinstyle="round", **dots)
    axes.margins(x=0.01, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    low, high = axes.get_ylim()
    ticks = ticks_of(low, high, count=4)
    labels = _distinct(ticks)
    axes.set_yticks(ticks, labels)
    left = EDGE + 8 + max((measure(label, SMALL) for label in labels), default=0.0)
    axes.set_position((left / width, below, 1 - (left + EDGE + 4) / width, tall))
    axes.tick_params(length=0, pad=5, labelsize=SMALL, labelcolor=ink("muted"))
    axes.grid(axis="y", color=ink("grid"), lw=1)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(ink("muted"))
    canvas.text(width - EDGE - 4, canvas.height - 4, "step", color="muted", size=SMALL, align="right")
    metric = curves[0].metric
    what = f"{one_line(metric.label)} over the steps of training: {', '.join(one_line(arm.label) for arm in arms)}."
    return canvas.svg(name, what)


MARK_SINGLE = {"marker": "o", "ms": 4.0}  # one point alone draws no line


def _layout(report: Report, width: float) -> tuple[list[Slot], float]:
    """Return where every rate's row stands below the legend, and the height of the whole drawing."""
    lines = max(len(flow(_arm_entries(report, report.arms), width)), len(flow(_difference_entries(report), width)))
    head = LINE * lines + 10
    room = width - 2 * EDGE - measure("better →", SMALL) - 8
    slots, y, section = list[Slot](), head + 6, ""
    for row in report.rows:
        if row.unit not in ("rate", "points") or row.role == "health":
            continue
        begins = row.section if row.section != section else ""
        section = row.section
        heading = tuple(wrap(begins, 0.85 * (width - 2 * EDGE), lines=2)) if begins else ()
        y += LINE * len(heading) + (6 if heading else 0)
        label = tuple(wrap(row.label, room)) or (row.id,)
        first = y + LINE * len(label)
        slots.append(Slot(row, heading, label, y, first, first + SLOT * len(report.arms)))
        y = slots[-1].end + GAP
    return slots, (slots[-1].end if slots else y) + AXIS


def _shift(report: Report) -> float:
    """Half a slot for each arm that is not drawn, so a row's differences stand in the middle of its height."""
    return SLOT * (len(report.arms) - len(report.trained)) / 2


def _label(canvas: Canvas, slot: Slot) -> None:
    for number, line in enumerate(slot.section):
        canvas.text(EDGE, slot.top - LINE * (len(slot.section) - 1 - number) - 8, line, bold=True)
    for number, line in enumerate(slot.label):
        canvas.text(EDGE, slot.top + LINE * (number + 1) - 5, line)


def _value(canvas: Canvas, y: float, text: str) -> None:
    """Write a number, or why there is none, in the column at the right."""
    canvas.text(canvas.width - EDGE, y + 4, text, color="muted", size=SMALL, align="right")


def _scale(canvas: Canvas, ticks: Sequence[tuple[float, str]], slots: Sequence[Slot]) -> None:
    """Draw the lines of the scale behind the marks, but never through a label, and write the scale at the foot."""
    for x, text in ticks:
        for slot in slots:
            canvas.line([x, x], [slot.first, slot.end], ink("grid"), width=1)
        half = measure(text, SMALL) / 2
        canvas.text(max(x, half), slots[-1].end + 18, text, color="muted", size=SMALL, align="center")


def ticks_of(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    from matplotlib.ticker import MaxNLocator

    return [
        float(tick)
        for tick in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        if low <= tick <= high
    ]


def _distinct(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of a scale with as few digits as tell them apart; very small and large ones in powers of ten."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    kind = ",.{}f" if largest == 0 or 1e-4 <= largest < 1e6 else ".{}e"
    labels: list[str] = []
    for digits in range(13):
        labels = [format(tick, kind.format(digits)) for tick in ticks]
        written = [float(label.replace(",", "")) for label in labels]
        close = all(abs(one - tick) <= 1e-3 * largest for one, tick in zip(written, ticks, strict=True))
        if close and len(set(labels)) == len(labels):
            break
    return ["0" if tick == 0 else label.replace("-", "−") for tick, label in zip(ticks, labels, strict=True)]


def _points(number: float) -> str:
    text = f"{number:+g}" if number else "0"
    return text.replace("-", "−")


def _stroke(color: str, style: Any) -> Callable[[Canvas, float, float], None]:
    def draw(canvas: Canvas, x: float, y: float) -> None:
        canvas.line([x, x + 18], [y, y], color, width=1.8, style=style, kind="legend")

    return draw


def _arm_entries(report: Report, arms: Sequence[Arm]) -> list[Entry]:
    def dot(column: int) -> Callable[[Canvas, float, float], None]:
        def draw(canvas: Canvas, x: float, y: float) -> None:
            canvas.line([x, x + 18], [y, y], arm_ink(column), width=2.2, kind="legend")
            canvas.mark(x + 9, y, column, arm_ink(column), kind="legend")

        return draw

    return [(arm.label, dot(report.arms.index(arm))) for arm in arms]


def _difference_entries(report: Report) -> list[Entry]:
    def margin(canvas: Canvas, x: float, y: float) -> None:
        canvas.box(x, y - 6, 18, 12, ink("band"), kind="legend")

    def detectable(canvas: Canvas, x: float, y: float) -> None:
        for offset in (4, 14):
            canvas.line([x + offset, x + offset], [y - 4, y + 4], ink("muted"), width=1.2, kind="legend")

    extra: list[Entry] = [("margin", margin), ("smallest change that would show", detectable)]
    return [*_arm_entries(report, report.trained), *extra]
