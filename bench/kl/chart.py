"""The result as a drawing that stands by itself: seconds with the floor, and memory, a bar for each arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.kl.work import OURS, OURS_TRAINED
from bench.step.chart import BAR, EDGE, LINE, SPACE, STEP, WIDTH, scale, standing
from unswayed.report.canvas import SMALL, Canvas, house_style, wrap
from unswayed.report.svg import arm_ink, ink

LABELS = 190.0


@house_style()
def draw(result: Mapping[str, Any], about: str) -> str:
    """Return one SVG file. Dots are single rounds; a line in each bar is the floor of its products."""
    arms = result["arms"]
    lines = wrap(about, WIDTH - 2 * EDGE, SMALL)
    top = EDGE + LINE * (2 + len(lines))
    end = top + STEP * len(arms) + 6
    canvas = Canvas(WIDTH, end + 2 * SPACE + LINE + STEP * len(arms))
    canvas.text(EDGE, EDGE + 8, "Exact reverse KL and its gradient", size=15, bold=True)
    for place, line in enumerate(lines):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    at = scale(canvas, top, end, max(max(arm["rounds"]) for arm in arms.values()), "s")
    for place, (name, arm) in enumerate(arms.items()):
        y = _bar(canvas, top + STEP * place, name, arm["title"], at(arm["seconds"]), f"{arm['seconds']:.2f} s")
        floor = at(result["floor"][name]["seconds"])
        canvas.line([floor, floor], [y - 2, y + BAR + 2], ink("ink"), kind="data")
        for one in arm["rounds"]:
            canvas.mark(at(one), y + BAR / 2, 0, ink("ink"), size=5, kind="data")
    top = end + SPACE
    canvas.text(LABELS, top, "peak memory above set-up", color="muted", size=SMALL)
    above = {name: arm["peak_above_ready"] / 2**20 for name, arm in arms.items()}
    at = scale(canvas, top + LINE / 2, top + LINE / 2 + STEP * len(arms), max(above.values()), "MiB")
    for place, (name, mib) in enumerate(above.items()):
        _bar(canvas, top + LINE / 2 + STEP * place, name, arms[name]["title"], at(mib), f"{mib:.0f} MiB")
    shown = ", ".join(f"{arm['title']} {arm['seconds']:.2f} s" for arm in arms.values())
    return standing(canvas.svg("loss", f"Exact reverse KL, {about}. Median seconds: {shown}."))


def _bar(canvas: Canvas, top: float, name: str, title: str, end: float, value: str) -> float:
    y = top + 6
    canvas.text(LABELS - 8, y + BAR - 3, title, align="right")
    canvas.box(LABELS, y, end - LABELS, BAR, arm_ink(1 if name in {OURS, OURS_TRAINED} else 0), kind="data")
    canvas.text(WIDTH - EDGE, y + BAR - 3, value, align="right")
    return y
