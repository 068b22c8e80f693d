"""The result as a drawing: a bar for each start, cut into its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.step.chart import BAR, EDGE, LINE, SPACE, STEP, WIDTH, scale, standing
from unswayed.report.canvas import SMALL, Canvas, house_style, measure, wrap
from unswayed.report.svg import arm_ink

LABELS = 190.0
GROUPS = {
    "imports": ("python", "torch", "transformers", "peft", "unswayed"),
    "model files and weights": ("resolve", "hashes", "tokenizer", "weights", "fingerprint"),
    "reading pairs": ("read",),
    "tokenising pairs": ("tokenise",),
    "first step and the rest": ("first sample", "first step", "other"),
}


@house_style()
def draw(result: Mapping[str, Any], about: str) -> str:
    """Return one SVG file."""
    starts = result["starts"]
    lines = wrap(about, WIDTH - 2 * EDGE, SMALL)
    top = EDGE + LINE * (2 + len(lines)) + LINE
    end = top + STEP * len(starts) + 6
    canvas = Canvas(WIDTH, end + SPACE)
    canvas.text(EDGE, EDGE + 8, "Time to the first step", size=15, bold=True)
    for place, line in enumerate(lines):
        canvas.text(EDGE, EDGE + LINE * (place + 1) + 10, line, color="muted", size=SMALL)
    x = EDGE
    for index, group in enumerate(GROUPS):
        canvas.box(x, top - LINE - 9, 10, 10, arm_ink(index))
        canvas.text(x + 15, top - LINE, group, color="muted", size=SMALL)
        x += 15 + measure(group, SMALL) + 16
    at = scale(canvas, top, end, max(start["parts"]["total"] for start in starts.values()), "s")
    for place, start in enumerate(starts.values()):
        y, left = top + STEP * place + 6, 0.0
        canvas.text(LABELS - 8, y + BAR - 3, start["title"], align="right")
        for index, parts in enumerate(GROUPS.values()):
            seconds = sum(start["parts"][part] for part in parts)
            canvas.box(at(left), y, at(left + seconds) - at(left), BAR, arm_ink(index), kind="data")
            left += seconds
        canvas.text(WIDTH - EDGE, y + BAR - 3, f"{start['parts']['total']:.1f} s", align="right")
    shown = ", ".join(f"{start['title']} {start['parts']['total']:.1f} s" for start in starts.values())
    return standing(canvas.svg("startup", f"Time to the first step, {about}: {shown}."))
