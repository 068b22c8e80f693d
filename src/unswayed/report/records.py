"""A report as JSON: `report.json` holds everything the page shows.

{"format": 2, "title": …, "baseline": "base", "facts": {…}, "lead": […], "limits": […],
 "arms":  {"opct": {"followed": {
     "n": 250, "rate": 0.2, "interval": [0.16, 0.25], "unscored": 2,
     "difference": -0.4, "difference_interval": [-0.46, -0.35], "verdict": "improved", "effect": {…}}}},
 "rows":  {"followed": {"label": …, "description": …, "better": "lower", "unit": "rate"}},
 "order": {"arms": […], "rows": […], "facts": […]}, "arm_labels": {…}, "curves": […], "transcripts": […]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unswayed.core.types import Estimate
from unswayed.report.model import Cell, Draw, Report

FORMAT = 2


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON values. Lone surrogates, which no file can hold, are written out as text."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "title": report.title,
        "baseline": report.baseline,
        "lead": report.lead,
        "limits": report.limits,
        "facts": dict(report.facts),
        "arm_labels": {arm.id: {"label": arm.label, "description": arm.description} for arm in report.arms},
        "rows": {
            row.id: {
                "label": row.label,
                "description": row.description,
                "better": row.better,
                "unit": row.unit,
                "section": row.section,
                "role": row.role,
            }
            for row in report.rows
        },
        "order": {
            "arms": [arm.id for arm in report.arms],
            "rows": [row.id for row in report.rows],
            "facts": list(report.facts),
        },
        "arms": {
            arm.id: {row.id: _cell(row.cells[arm.id]) for row in report.rows if arm.id in row.cells}
            for arm in report.arms
        },
        "curves": [asdict(curve) for curve in report.curves],
        "transcripts": [_draw(draw) for draw in report.transcripts],
        "replies": report.replies,
    }
    clean: dict[str, Any] = _storable(value)
    return clean


_OUTSIDE = ("difference", "low", "high", "verdict")  # the parts of an effect that a cell shows at its own level


def _cell(cell: Cell) -> dict[str, Any]:
    value = {
        **_estimate(cell.estimate),
        "rule_error": cell.error and cell.error._asdict(),
        "corrected": cell.corrected and cell.corrected._asdict(),
        "difference": None,
        "difference_interval": None,
        "verdict": None,
        "effect": None,
    }
    if (effect := cell.effect) is not None:
        rest = {name: part for name, part in asdict(effect).items() if name not in _OUTSIDE}
        value |= {
            "difference": effect.difference,
            "difference_interval": _interval(effect.low, effect.high),
            "verdict": effect.verdict,
            "effect": {**rest, "before": _estimate(effect.before), "after": _estimate(effect.after)},
        }
    return value


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "rate": estimate.value,
        "interval": _interval(estimate.low, estimate.high),
        "n": estimate.n,
        "clusters": estimate.clusters,
        "unscored": estimate.unscored,
        "bounds": _interval(estimate.least, estimate.most),
        "method": estimate.method,
    }


def _interval(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def _draw(draw: Draw) -> dict[str, Any]:
    return {"title": draw.title, "pool": draw.pool, "seed": draw.seed, "shown": [asdict(item) for item in draw.shown]}


def _storable(value: Any) -> Any:
    """JSON values only: tuples become lists, and text that UTF-8 cannot hold is written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
