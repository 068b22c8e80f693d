"""A straight line through what was measured: how much more for each unit more, and how straight it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.growth.points import Axis

LOGIT_BYTES = 4  # one float32 logit


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, float | None]:
    """Return slope, intercept and R² of the least-squares line; R² is None where y does not change at all."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = np.subtract(y, slope * np.asarray(x) + intercept)
    spread = float(np.sum(np.square(np.subtract(y, np.mean(y)))))
    r2 = 1.0 - float(np.sum(np.square(rest))) / spread if spread > 0 else None
    return {"slope": float(slope), "intercept": float(intercept), "r2": r2}


def fits(axis: Axis, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the lines of memory (bytes) and seconds over an axis, of the step and of its parts.

    `growth` is how many times larger memory and seconds are at the last point than at the first, beside the same for
    what grows. `logits` is what one copy of all logits would add for each unit of the vocabulary.
    """
    x = [float(point[axis.over]) for point in points]
    found: dict[str, Any] = {
        "over": axis.over,
        "unit": axis.unit,
        "memory": line(x, [point["peak"] for point in points]),
        "seconds": line(x, [point["step"] for point in points]),
        "parts": {
            part: {
                "memory": line(x, [point["memory"][part] for point in points]),
                "seconds": line(x, [point["seconds"][part] for point in points]),
            }
            for part in points[0]["seconds"]
        },
        "growth": {
            "x": x[-1] / x[0],
            "memory": points[-1]["peak"] / max(points[0]["peak"], 1),
            "seconds": points[-1]["step"] / points[0]["step"],
        },
    }
    if axis.over == "vocab":
        found["logits"] = float(LOGIT_BYTES * points[0]["tokens"])
    return found
