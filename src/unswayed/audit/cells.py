"""Every training of a sweep audited in one command: each trained model against the organism it began as.

A sweep's folder says what lies where (`cells.jsonl`, `cells/KEY/out`): of its evaluations, those that have the same
model, family, seed and questions as that of an organism are paired with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.audit.run import Audit, audit, exit_code
from unswayed.core.errors import ConfigError
from unswayed.core.files import read_jsonl, write_json

CELLS, OUT, UNTRAINED = "cells.jsonl", "out", "none"
INDEX = "audits.json"


@dataclass(frozen=True, slots=True)
class Pair:
    """A trained cell with the organism that it began as: names of both, and the folders of their evaluations."""

    name: str
    cell: str
    before: Path
    after: Path


def pairs(root: Path) -> Iterator[Pair]:
    """Yield every pair of finished evaluations of a sweep.

    Raises:
        ConfigError: the folder holds no sweep.
    """
    if not (root / CELLS).exists():
        raise ConfigError(
            f"{root}: holds no sweep ({CELLS} is missing); name the folder that `unswayed sweep run` made"
        )
    done = [
        row
        for row in read_jsonl(root / CELLS)
        if row["kind"] == "eval" and (root / "cells" / row["key"] / OUT).is_dir()
    ]
    organisms = {
        _place(row): row for row in done if row["axes"]["method"] == UNTRAINED and row["axes"]["family"] != UNTRAINED
    }
    for row in done:
        start = organisms.get(_place(row))
        if start is not None and row["axes"]["method"] != UNTRAINED:
            folders = [root / "cells" / one["key"] / OUT for one in (start, row)]
            yield Pair(str(row["name"]), row["key"], *folders)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row["axes"].get(name) for name in ("model", "family", "seed", "what"))


def audit_cells(root: Path, out: Path, plan: Path | None = None) -> list[tuple[Pair, Audit]]:
    """Audit every pair into `out/NAME-KEY`, and write `audits.json`: the verdicts of each.

    Raises:
        ConfigError: no sweep, or one in which nothing that was trained is measured yet.
    """
    found = []
    for pair in pairs(root):
        folder = out / f"{re.sub(r'[^A-Za-z0-9]+', '-', pair.name).strip('-')[:60]}-{pair.cell}"
        found.append((pair, audit(pair.before, pair.after, plan=plan, out=folder)))
    if not found:
        raise ConfigError(f"{root}: no trained cell is measured yet; `unswayed sweep status` says what is missing")
    short = ("behaviour", "verdict", "estimate", "interval", "n", "unscored", "eps", "why")
    rows = [
        {"name": pair.name, "cell": pair.cell, "folder": one.folder.name if one.folder else "",
         "verdicts": [{key: verdict[key] for key in short} for verdict in one.verdicts]}
        for pair, one in found
    ]  # fmt: skip
    write_json(out / INDEX, {"sweep": root.name, "audits": rows})
    return found


def exit_of(found: list[tuple[Pair, Audit]], allow: tuple[str, ...] = ()) -> int:
    """Return how a command with these audits ends."""
    return exit_code([verdict for _, one in found for verdict in one.verdicts], allow)
