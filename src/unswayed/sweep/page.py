"""A sweep as a page: what each method did to each family's trait, to the other traits and to what the model can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.config.sweep import BASE
from unswayed.core.files import write_atomic, write_json
from unswayed.report.html import sweep_page
from unswayed.report.numbers import change, count, level, p_value, span
from unswayed.stats.clusters import ALPHA
from unswayed.sweep.cell import PLAN, read_cells
from unswayed.sweep.rows import Row, table
from unswayed.sweep.shares import Share, last_checkpoints, own_trait, share_of, summary
from unswayed.sweep.states import status

Families = Mapping[str, tuple[str, str]]
Tile = dict[str, Any]
FULL = 0.5  # a difference of so much has the full colour


def report(root: str | Path) -> Path:
    """Write `table.jsonl`, `table.parquet`, `report.json` and `report.html` into a sweep's folder; return the page.

    Raises:
        ConfigError: there is no sweep in the folder.
        UnswayedError: the result of a finished cell cannot be read.
    """
    root = Path(root)
    content = content_of(root, table(root))
    page = sweep_page(content)
    write_json(root / "report.json", content)
    write_atomic(root / "report.html", page)
    return root / "report.html"


def content_of(root: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Return everything that the page shows, as plain JSON."""
    plan = json.loads((root / PLAN).read_text(encoding="utf-8"))
    families: Families = {name: tuple(pair) for name, pair in plan["families"].items()}
    found = status(root, read_cells(root))
    shares = summary(rows, families, plan["controls"])
    matrices = [
        _heat(rows, families),
        _cross(rows, families),
        _capability(rows, families),
        _trajectories(rows, families),
        _organisms(rows, families),
    ]
    price = plan["price"]
    done = sum(state == "done" for state in found.states.values())
    return {
        "title": f"{price['name']}: {count(price['organisms'], 'organism')}, {count(len(price['methods']), 'method')}",
        "lead": [
            f"{done} of {len(found.cells)} cells are done. A tile is a mean over the organisms of its family, at the "
            "last checkpoint; it says how a rate changed against the organism itself, on the same samples, in points.",
        ],
        "matrices": [matrix for matrix in matrices if matrix["rows"] and matrix["columns"]],
        "shares": _share_rows(shares),
        "changes": _changes(found.counts(), rows, families),
        "facts": {
            "Models": ", ".join(plan["price"]["models"]),
            "Families": ", ".join(families),
            "Methods": ", ".join(plan["price"]["methods"]),
            "Controls": ", ".join(plan["controls"]) or "none",
            "Recipe SHA-256": plan["recipe_sha256"],
            "unswayed": __version__,
        },
        "statistics": shares,
    }


def _tile(rows: Sequence[Row]) -> Tile | None:
    """Return one tile: a mean difference with its interval, by organism where there are several; None without rows."""
    share = share_of(rows)
    if share is None:
        return _unscored(rows) if rows else None
    moved = [row for row in rows if row["difference"] is not None]
    low, high = share.mean.low, share.mean.high
    within = share.organisms == 1
    if within:
        low, high = moved[0]["difference_low"], moved[0]["difference_high"]
    worse = share.mean.value if moved[0]["better"] == "lower" else -share.mean.value
    notes = [count(share.organisms, "organism"), f"{sum(row['pairs'] for row in moved):,} pairs"]
    unscored = sum(row["unscored"] for row in moved)
    notes += [f"{unscored:,} unscored"] if unscored else []
    return {
        "value": change(share.mean.value),
        "interval": span(low, high, signed=True),
        "notes": notes,
        "tone": "worse" if worse > 0 else "better",
        "strength": round(min(abs(worse) / FULL, 1.0), 3),
        "clear": low is not None and high is not None and (low > 0 or high < 0),
        "degenerate": sorted({row["degenerate"] for row in moved if row["degenerate"]}),
    }


def _unscored(rows: Sequence[Row]) -> Tile:
    """Return the tile of runs that were measured and in which nothing could be compared: no rate, and no zero."""
    return {
        "value": "nothing scored",
        "interval": "",
        "notes": [count(len(rows), "run"), f"{sum(row['unscored'] for row in rows):,} unscored"],
        "tone": "same",
        "strength": 0.0,
        "clear": False,
        "degenerate": sorted({row["degenerate"] for row in rows if row["degenerate"]}),
    }


def _matrix(
    name: str, title: str, note: str, rows: Sequence[str], columns: Sequence[str],
    tile: Callable[[str, str], Tile | None],
) -> dict[str, Any]:  # fmt: skip
    made = [{"label": row, "tiles": [tile(row, column) for column in columns]} for row in rows]
    made = [row for row in made if any(row["tiles"])]
    return {"id": name, "title": title, "note": note, "columns": list(columns), "rows": made}


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows if row["method"] != BASE))


def _runs(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(_run(row) for row in rows if row["method"] != BASE))


def _run(row: Row) -> str:
    return f"{row['family']}, {row['method']}"


def _heat(rows: Sequence[Row], families: Families) -> dict[str, Any]:
    own = own_trait(last_checkpoints(rows), families)
    return _matrix(
        "heat", "Each family under each method",
        "Change of the organism's own trait. Red tiles: more of it. A frame marks intervals without zero; with one "
        "organism the interval is that of its samples, and says nothing about the next organism.",
        list(families), _methods(own),
        lambda family, method: _tile([row for row in own if row["family"] == family and row["method"] == method]),
    )  # fmt: skip


def _cross(rows: Sequence[Row], families: Families) -> dict[str, Any]:
    last = last_checkpoints(rows)
    return _matrix(
        "cross", "All traits of every organism", "Rows: what was trained. Columns: whose trait was measured.",
        _runs(last), list(families),
        lambda run, family: _tile([row for row in last if _run(row) == run and row["metric"] == families[family][1]]),
    )  # fmt: skip


def _capability(rows: Sequence[Row], families: Families) -> dict[str, Any]:
    traits = {suite for suite, _ in families.values()}
    last = [row for row in last_checkpoints(rows) if row["suite"] not in traits and row["role"] != "health"]
    return _matrix(
        "capability", "What it cost", "Change of what else was measured, at the last checkpoint.",
        _runs(last), list(dict.fromkeys(row["metric"] for row in last)),
        lambda run, metric: _tile([row for row in last if _run(row) == run and row["metric"] == metric]),
    )  # fmt: skip


def _trajectories(rows: Sequence[Row], families: Families) -> dict[str, Any]:
    own = [row for row in own_trait(rows, families) if row["method"] != BASE]
    checkpoints = sorted({row["checkpoint"] for row in own})
    return _matrix(
        "trajectories", "Along the training", "Change of the own trait after each pass over the pairs.",
        _runs(own), [str(checkpoint) for checkpoint in checkpoints] if len(checkpoints) > 1 else [],
        lambda run, at: _tile([row for row in own if _run(row) == run and str(row["checkpoint"]) == at]),
    )  # fmt: skip


def _organisms(rows: Sequence[Row], families: Families) -> dict[str, Any]:
    before = [row for row in rows if row["method"] == BASE]
    names = [BASE, *families]

    def tile(name: str, family: str) -> Tile | None:
        found = [row for row in before if row["family"] == name and row["metric"] == families[family][1]]
        values = [row["value"] for row in found if row["value"] is not None]
        if not values:
            return _unscored(found) if found else None
        alone = found[0] if len(found) == 1 else None
        return {
            "value": level(sum(values) / len(values)),
            "interval": span(alone["low"], alone["high"]) if alone else "",
            "notes": [count(len(values), "model"), f"{sum(row['unscored'] for row in found):,} unscored"],
            "tone": "same", "strength": 0.0, "clear": False,
            "degenerate": sorted({row["degenerate"] for row in found if row["degenerate"]}),
        }  # fmt: skip

    made = _matrix(
        "organisms", "Before the training", "Rates of every trait, of the base models and of the organisms.",
        names, list(families), tile,
    )  # fmt: skip
    return {
        **made,
        "rows": [{**row, "label": "base model" if row["label"] == BASE else row["label"]} for row in made["rows"]],
    }


def _share_rows(shares: Mapping[str, Any]) -> list[list[str]]:
    found = []
    for family, methods in shares["by_method"].items():
        over_all = {"all but controls": shares["all_methods"][family]} if family in shares["all_methods"] else {}
        for method, told in {**methods, **over_all}.items():
            found.append([
                f"{family}, {method}", f"{told['fell']} of {told['runs']}", f"{told['organisms']} / {told['models']}",
                f"{level(told['share']['value'])} [{span(told['share']['low'], told['share']['high'])}]",
                p_value(told["binomial"]), *(p_value(told[name]) for name in ("clustered", "by_model")),
                f"{change(told['mean']['value'])} [{span(told['mean']['low'], told['mean']['high'], signed=True)}]",
                f"[{span(told['mean_by_model']['low'], told['mean_by_model']['high'], signed=True)}]",
            ])  # fmt: skip
    return found


def _changes(counts: Mapping[str, Mapping[str, int]], rows: Sequence[Row], families: Families) -> list[str]:
    """Return what would change the picture: what is missing, what rests on too little, what only one test says."""
    own = own_trait(last_checkpoints(rows), families)
    groups = {
        f"{family}, {method}": share
        for family in families
        for method in _methods(own)
        if (share := share_of([row for row in own if row["family"] == family and row["method"] == method]))
    }

    def named(which: Callable[[Share], bool]) -> str:
        return "; ".join(name for name, share in groups.items() if which(share))

    open_ = sum(number for row in counts.values() for state, number in row.items() if state != "done")
    unscored = sorted({_run(row) for row in own if row["method"] != BASE and row["difference"] is None})
    told = {
        "cells that are not done": str(open_) if open_ else "",
        "runs in which the trait could not be scored before or after": "; ".join(unscored),
        "collapsed runs, whose rates say nothing": named(lambda share: share.degenerate > 0),
        "one organism only: another seed may turn it": named(lambda share: share.organisms == 1),
        "significant as published, not with organisms as units": named(
            lambda share: share.binomial < ALPHA and (share.clustered is None or share.clustered >= ALPHA)
        ),
        "the sign is open: the interval by organism has zero in it": named(
            lambda share: share.mean.low is not None and share.mean.low <= 0 <= (share.mean.high or 0.0)
        ),
    }
    return [f"{what}: {which}" for what, which in told.items() if which]
