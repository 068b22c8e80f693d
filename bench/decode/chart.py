"""The result as a drawing that stands by itself: tokens a second, a pair of bars for each workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.decode.summary import headline
from bench.decode.work import GENERATE, OURS, TITLES
from bench.step.chart import EDGE, LINE, WIDTH, scale, standing
from unswayed.report.canvas import SMALL, Canvas, house_style, measure, wrap
from unswayed.report.svg import arm_ink, ink

LABELS, BAR, STEP = 190.0, 12.0, 40.0
COLOURS = {OURS: 1, GENERATE: 0}


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file. Dots are single rounds; the line is what the floor allows."""
    about = wrap(headline(result), WIDTH - 2 * EDGE, SMALL)
    loads = result["workloads"]
    top = EDGE + LINE * (2 + len(about))
    bottom = top + LINE + STEP * len(loads)
    height = bottom + 2 * LINE
    canvas = Canvas(WIDTH, height)
    canvas.text(EDGE, EDGE + 8, "Decoding: tokens of completions a second", size=15, bold=True)
    for place, line in enumerate(about):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    least = [one["tokens"] / one["floor"]["seconds"] for one in loads]
    single = [one["tokens"] / min(arm["rounds"]) for one in loads for arm in one["arms"].values()]
    at = scale(canvas, top + LINE, bottom, max([*least, *single]), "tokens/s")
    _legend(canvas, top)
    for place, (one, best) in enumerate(zip(loads, least, strict=True)):
        y = top + LINE + STEP * place + 7
        canvas.text(LABELS - 8, y + BAR - 2, one["name"], align="right", size=SMALL)
        kind = "with adapter" if one["adapter"] else "without adapter"
        canvas.text(LABELS - 8, y + 2 * BAR, kind, align="right", color="muted", size=SMALL)
        for row, (name, arm) in enumerate((name, one["arms"][name]) for name in COLOURS):
            low = y + row * (BAR + 1)
            canvas.box(at(0), low, at(arm["tokens_per_second"]) - at(0), BAR, arm_ink(COLOURS[name]), kind="data")
            for seconds in arm["rounds"]:
                canvas.mark(at(one["tokens"] / seconds), low + BAR / 2, 0, ink("ink"), size=4, kind="data")
        canvas.line([at(best)] * 2, [y - 2, y + 2 * BAR + 3], ink("ink"), kind="data")
        canvas.text(WIDTH - EDGE, y + BAR + 4, f"{one['ratio']['rate']:.2f}x", align="right")
    shown = ", ".join(
        f"{one['name']} {'with' if one['adapter'] else 'without'} adapter {one['ratio']['rate']:.2f}" for one in loads
    )
    return standing(canvas.svg("sampler", f"Decoding: {headline(result)}. Our rate over generate's: {shown}."))


def _legend(canvas: Canvas, y: float) -> None:
    x = LABELS
    for name, colour in COLOURS.items():
        canvas.box(x, y - 9, 10, 10, arm_ink(colour))
        canvas.text(x + 15, y, TITLES[name], color="muted", size=SMALL)
        x += 15 + measure(TITLES[name], SMALL) + 16
    canvas.mark(x + 4, y - 4, 0, ink("ink"), size=4)
    canvas.text(x + 12, y, "a single round", color="muted", size=SMALL)
    x += 12 + measure("a single round", SMALL) + 16
    canvas.line([x, x], [y - 10, y + 2], ink("ink"))
    canvas.text(x + 6, y, "floor", color="muted", size=SMALL)
