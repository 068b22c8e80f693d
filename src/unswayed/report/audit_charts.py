"""The drawings of an audit: forest, butterfly, profile, sharpening map, waterfall."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unswayed.report.canvas import SMALL, Canvas, house_style, measure, one_line, wrap
from unswayed.report.charts import AXIS, GAP, SLOT, VALUES, ticks_of
from unswayed.report.legend import EDGE, LINE, Entry, flow, legend
from unswayed.report.numbers import change, level
from unswayed.report.svg import arm_ink, ink

Rows = Sequence[Mapping[str, Any]]
_COLORS = {
    "AMPLIFIED": "worse",
    "SUPPRESSED": "better",
    "CONFOUNDED": "unknown",
    "UNDECIDED": "unknown",
    "NEUTRAL": "same",
}


@house_style()
def forest(verdicts: Rows, *, width: float, name: str) -> str | None:
    """Draw each difference with its interval, margin and smallest detectable change; None where there is none."""
    rows = [one for one in verdicts if one["estimate"] is not None]
    if not rows:
        return None
    entries = _forest_entries()
    head = LINE * len(flow(entries, width)) + 12
    room = width - 2 * EDGE - VALUES - 8
    labels = [wrap(_title(one), room, lines=2) for one in rows]
    tops, y = [], head
    for label in labels:
        tops.append(y)
        y += LINE * len(label) + SLOT + GAP
    canvas = Canvas(width, y + AXIS)
    legend(canvas, entries)
    numbers = [0.0] + [x for one in rows for x in (*(one["interval"] or ()), one["estimate"], one["eps"], -one["eps"])]
    numbers += [sign * one["detectable"] for one in rows if one["detectable"] for sign in (-1, 1)]
    at = _scale_of(min(numbers), max(numbers), EDGE, width - EDGE - VALUES)
    slots = [top + LINE * len(label) for label, top in zip(labels, tops, strict=True)]
    for tick in ticks_of(100 * min(numbers), 100 * max(numbers), count=5 if width < 500 else 7):
        x, text = at(tick / 100), change(tick / 100).replace(".0", "") if tick else "0"
        for slot in slots:  # never through a label
            canvas.line([x, x], [slot - 2, slot + SLOT + 2], ink("grid"), width=1)
        canvas.text(
            min(max(x, measure(text, SMALL) / 2), width), y + 16, text, color="muted", size=SMALL, align="center"
        )
    for one, label, top in zip(rows, labels, tops, strict=True):
        middle = top + LINE * len(label) + SLOT / 2
        canvas.box(at(-one["eps"]), middle - SLOT / 2, at(one["eps"]) - at(-one["eps"]), SLOT, ink("band"))
        canvas.line([at(0), at(0)], [middle - SLOT / 2, middle + SLOT / 2], ink("muted"), width=1)
        for number, line in enumerate(label):
            canvas.text(EDGE, top + LINE * (number + 1) - 5, line)
        color = ink(_COLORS[one["verdict"]])
        if one["detectable"]:
            for sign in (-1, 1):
                x = at(sign * one["detectable"])
                canvas.line([x, x], [middle - 4, middle + 4], ink("muted"), width=1.2)
        if one["interval"]:
            canvas.line([at(x) for x in one["interval"]], [middle, middle], color, width=2.2, kind="data")
        canvas.mark(
            at(one["estimate"]), middle, 1 if one["verdict"] in {"CONFOUNDED", "UNDECIDED"} else 0, color, kind="data"
        )
        canvas.text(width - EDGE, middle + 4, change(one["estimate"]), color="muted", size=SMALL, align="right")
    return canvas.svg(
        name, "Differences with 95% intervals, margins and smallest detectable changes; the table has every number."
    )


@house_style()
def butterfly(verdicts: Rows, *, width: float, name: str) -> str | None:
    """Draw for each behaviour how many prompts fell to the left, and how many rose to the right."""
    rows = [one for one in verdicts if one["rose"] or one["fell"]]
    if not rows:
        return None
    most = max(max(one["rose"], one["fell"]) for one in rows)
    room = measure(f"{most:,}", SMALL) + 10
    half = width / 2 - EDGE - room
    labels = [wrap(_title(one), width - 2 * EDGE, lines=2) for one in rows]
    height = sum(LINE * len(label) + SLOT + GAP for label in labels) + 4
    canvas, y = Canvas(width, height), 0.0
    for one, label in zip(rows, labels, strict=True):
        for number, line in enumerate(label):
            canvas.text(width / 2, y + LINE * (number + 1) - 4, line, align="center")
        y += LINE * len(label) + 2
        for side, color, sign in (("fell", "better", -1), ("rose", "worse", 1)):
            long = max(half * one[side] / most, 0.5)
            canvas.box(width / 2 - (long if sign < 0 else 0), y, long, SLOT, ink(color), kind="data")
            align: Any = "right" if sign < 0 else "left"
            canvas.text(
                width / 2 + sign * (long + 6), y + SLOT - 3.5, f"{one[side]:,}", color="muted", size=SMALL, align=align
            )
        canvas.line([width / 2, width / 2], [y - 2, y + SLOT + 2], ink("ink"), width=1)
        y += SLOT + GAP - 2
    return canvas.svg(name, "Prompts that fell and rose, by behaviour.")


@house_style()
def profile(found: Mapping[str, Any], *, width: float, name: str) -> str | None:
    """Draw how many prompts have which rate, before and after."""
    before, after = found["before"], found["after"]
    total = sum(before)
    if not total:
        return None
    entries = _arms()
    head, plot, foot = LINE * len(flow(entries, width)) + 16, 150.0, 36.0
    canvas = Canvas(width, head + plot + foot)
    legend(canvas, entries)
    most = max([*before, *after]) / total
    step = (width - 2 * EDGE) / len(before)
    base = head + plot
    for place, (low, high) in enumerate(found["bins"]):
        x = EDGE + step * place
        for arm, values in enumerate((before, after)):
            tall = plot * 0.88 * (values[place] / total) / most
            left = x + step * (0.12 + 0.38 * arm)
            canvas.box(left, base - tall, step * 0.36, tall, arm_ink(arm), kind="data")
            if values[place]:
                canvas.text(
                    left + step * 0.18, base - tall - 4, f"{values[place]:,}", color="muted", size=9.5, align="center"
                )
        text = f"{low:.0%}" if low == high else f"–{high:.0%}"
        canvas.text(x + step / 2, base + 15, text, color="muted", size=SMALL, align="center")
    canvas.line([EDGE, width - EDGE], [base, base], ink("muted"), width=1)
    canvas.text(
        width / 2, base + 31, "rate of the trait in a prompt’s draws", color="muted", size=SMALL, align="center"
    )
    return canvas.svg(name, "Number of prompts by their rate, before and after.")


@house_style()
def sharpening(rows: Rows | None, *, width: float, name: str) -> str | None:
    """Draw the rate after against the rate before, for prompts sorted by disjoint draws."""
    rows = [row for row in rows or () if row["n"] >= 3]
    if len(rows) < 2:
        return None
    side = min(width - 2 * EDGE - 34, 260.0)
    left, top = EDGE + 34, 12.0
    canvas = Canvas(width, top + side + 40)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + side * x, top + side * (1 - y)

    for tick in (0.0, 0.5, 1.0):
        (x, _), (_, y) = at(tick, 0), at(0, tick)
        canvas.line([x, x], [top, top + side], ink("grid"))
        canvas.line([left, left + side], [y, y], ink("grid"))
        canvas.text(x, top + side + 15, level(tick).replace(".0", ""), color="muted", size=SMALL, align="center")
        canvas.text(left - 6, y + 4, level(tick).replace(".0", ""), color="muted", size=SMALL, align="right")
    canvas.line([left, left + side], [top + side, top], ink("muted"), style=(0, (3, 3)))
    most = max(row["n"] for row in rows)
    points = [at(row["before"], row["after"]) for row in rows]
    canvas.line([x for x, _ in points], [y for _, y in points], arm_ink(1), width=1.4)
    for row, (x, y) in zip(rows, points, strict=True):
        canvas.mark(x, y, 1, arm_ink(1), size=5 + 7 * (row["n"] / most) ** 0.5, kind="data")
    canvas.text(
        left + side / 2, top + side + 31, "rate before (other draws)", color="muted", size=SMALL, align="center"
    )
    canvas.text(left + 4, top + 10, "rate after ↑", color="muted", size=SMALL)
    return canvas.svg(name, "Rate after against rate before, for prompts sorted by their rate before.")


@house_style()
def waterfall(attribution: Mapping[str, Any], *, width: float, name: str) -> str | None:
    """Draw the terms of the decomposition one after the other, and what they add up to."""
    terms = attribution.get("terms") or []
    if not terms:
        return None
    sums, total = [], 0.0
    for term in terms:
        sums.append((total, total + term["value"]))
        total += term["value"]
    numbers = [0.0, total, *(x for pair in sums for x in pair)]
    names = max(measure(one_line(term["name"]), SMALL) for term in terms) + 14
    at = _scale_of(min(numbers), max(numbers), EDGE + names, width - EDGE - VALUES)
    canvas, y = Canvas(width, (SLOT + 9) * (len(terms) + 1) + 10), 4.0
    shown = [(term["name"], low, high, term["value"]) for term, (low, high) in zip(terms, sums, strict=True)]
    for label, low, high, value in [*shown, ("sum", 0.0, total, total)]:
        color = ink("worse" if value > 0 else "better") if label != "sum" else ink("muted")
        canvas.text(EDGE, y + SLOT - 3, one_line(label), size=SMALL)
        canvas.box(min(at(low), at(high)), y, max(abs(at(high) - at(low)), 0.8), SLOT, color, kind="data")
        canvas.text(width - EDGE, y + SLOT - 3, change(value), color="muted", size=SMALL, align="right")
        y += SLOT + 9
    canvas.line([at(0), at(0)], [0, y], ink("ink"), width=1)
    return canvas.svg(name, "The terms of the change, one after the other.")


def _scale_of(low: float, high: float, left: float, right: float) -> Callable[[float], float]:
    room = max(high - low, 0.02) * 0.04
    low, high = low - room, high + room
    return lambda value: left + (right - left) * (value - low) / (high - low)


def _title(one: Mapping[str, Any]) -> str:
    return "The trait" if one["behaviour"] == "trait" else one_line(str(one["behaviour"]))


def _arms() -> list[Entry]:
    def swatch(arm: int) -> Callable[[Canvas, float, float], None]:
        return lambda canvas, x, y: canvas.box(x, y - 6, 18, 12, arm_ink(arm), kind="legend")

    return [("before", swatch(0)), ("after", swatch(1))]


def _forest_entries() -> list[Entry]:
    def interval(canvas: Canvas, x: float, y: float) -> None:
        canvas.line([x, x + 18], [y, y], ink("ink"), width=2.2, kind="legend")
        canvas.mark(x + 9, y, 0, ink("ink"), kind="legend")

    def margin(canvas: Canvas, x: float, y: float) -> None:
        canvas.box(x, y - 6, 18, 12, ink("band"), kind="legend")

    def least(canvas: Canvas, x: float, y: float) -> None:
        for offset in (4, 14):
            canvas.line([x + offset, x + offset], [y - 4, y + 4], ink("muted"), width=1.2, kind="legend")

    return [("difference, 95%", interval), ("within eps", margin), ("smallest change that would have shown", least)]
