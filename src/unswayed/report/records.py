"""A report as JSON and back. `report.json` holds everything the page shows, so the page can be drawn again from it.

{"format": 1, "title": …, "baseline": "base", "facts": {…}, "lead": […], "limits": […],
 "arms":  {"opct": {"followed": {
     "n": 250, "rate": 0.2, "interval": [0.16, 0.25], "unscored": 2,
     "difference": -0.4, "difference_interval": [-0.46, -0.35], "verdict": "improved", "effect": {…}}}},
 "rows":  {"followed": {"label": …, "description": …, "better": "lower", "unit": "rate"}},
 "order": {"arms": […], "rows": […], "facts": […]}, "arm_labels": {…}, "curves": […], "transcripts": {…}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unswayed.errors import DataError
from unswayed.report.model import Answer, Arm, Cell, Curve, Draw, Metric, Report, Row, Transcript
from unswayed.types import Effect, Estimate, Message, Score

FORMAT = 1


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
            row.id: {"label": row.label, "description": row.description, "better": row.better, "unit": row.unit}
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
        "transcripts": _draw(report.transcripts),
    }
    clean: dict[str, Any] = _storable(value)
    return clean


def from_json(value: Any) -> Report:
    """Return the report that `to_json` wrote.

    Raises:
        DataError: not such a report, with the part that is missing or wrong.
    """
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, Mapping) else type(value).__name__
        raise DataError(f"not a report.json of format {FORMAT} (found {found!r}); write the report again")
    try:
        order = value["order"]
        arms = tuple(Arm(id=name, **value["arm_labels"][name]) for name in order["arms"])
        cells = value["arms"]
        rows = tuple(
            Row(
                id=name,
                cells={arm.id: _read_cell(cells[arm.id][name]) for arm in arms if name in cells[arm.id]},
                **value["rows"][name],
            )
            for name in order["rows"]
        )
        return Report(
            title=value["title"],
            arms=arms,
            baseline=value["baseline"],
            rows=rows,
            lead=tuple(value["lead"]),
            facts={name: value["facts"][name] for name in order["facts"]},
            curves=tuple(
                Curve(item["arm"], Metric(**item["metric"]), tuple((step, y) for step, y in item["points"]))
                for item in value["curves"]
            ),
            transcripts=_read_draw(value["transcripts"]),
            limits=tuple(value["limits"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"report.json cannot be read: {type(error).__name__}: {error}") from error


_OUTSIDE = ("difference", "low", "high", "verdict")  # the parts of an effect that a cell shows at its own level


def _cell(cell: Cell) -> dict[str, Any]:
    value = {
        **_estimate(cell.estimate),
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


def _read_cell(value: Mapping[str, Any]) -> Cell:
    effect = None
    if value["effect"] is not None:
        rest = dict(value["effect"])
        low, high = value["difference_interval"] or (None, None)
        effect = Effect(
            before=_read_estimate(rest.pop("before")),
            after=_read_estimate(rest.pop("after")),
            flags=tuple(rest.pop("flags")),
            by_seed=tuple(rest.pop("by_seed", ())),
            difference=value["difference"],
            low=low,
            high=high,
            verdict=value["verdict"],
            **rest,
        )
    return Cell(_read_estimate(value), effect)


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


def _read_estimate(value: Mapping[str, Any]) -> Estimate:
    low, high = value["interval"] or (None, None)
    counts = {name: value[name] for name in ("n", "clusters", "unscored", "method")}
    least, most = value.get("bounds") or (None, None)
    return Estimate(value=value["rate"], low=low, high=high, least=least, most=most, **counts)


def _interval(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def _draw(draw: Draw) -> dict[str, Any]:
    return {"pool": draw.pool, "seed": draw.seed, "shown": [asdict(item) for item in draw.shown]}


def _read_draw(value: Mapping[str, Any]) -> Draw:
    shown = []
    for item in value["shown"]:
        rest = dict(item)
        prompt = tuple(Message(**message) for message in rest.pop("prompt"))
        answers = {
            arm: Answer(text=answer["text"], score=Score(**answer["score"]), cut=answer["cut"])
            for arm, answer in rest.pop("answers").items()
        }
        shown.append(Transcript(prompt=prompt, answers=answers, **rest))
    return Draw(tuple(shown), pool=value["pool"], seed=value["seed"])


def _storable(value: Any) -> Any:
    """JSON values only: tuples become lists, and text that UTF-8 cannot hold is written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
