"""One table of everything a sweep measured: a row for each cell, checkpoint and metric, from the finished evaluations.

Every row names its cell, where it stands in the matrix, and what was measured: value, interval, n, clusters, unscored.
Where the organism before the training was measured on the same samples, the paired difference to it stands beside it.
The table is a function of the results alone: no clock, host or path is in it, so equal results give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.config.sweep import BASE
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_jsonl
from unswayed.sweep.cell import OUT, Cell, cell_folder, is_done, read_cells

if TYPE_CHECKING:
    from unswayed.evals.results import Result

JSONL, PARQUET = "table.jsonl", "table.parquet"
Row = dict[str, Any]
COLUMNS: Mapping[str, str] = {
    "cell": "string", "model": "string", "family": "string", "method": "string", "seed": "int64", "checkpoint": "int64",
    "suite": "string", "metric": "string", "role": "string", "better": "string", "value": "float64", "low": "float64",
    "high": "float64", "n": "int64", "clusters": "int64", "unscored": "int64", "least": "float64", "most": "float64",
    "interval": "string", "before": "float64", "difference": "float64", "difference_low": "float64",
    "difference_high": "float64", "pairs": "int64", "degenerate": "string",
}  # fmt: skip
"""Every column with its type. `interval` is how the interval was computed, `pairs` the samples of the difference."""


def table(root: str | Path) -> list[Row]:
    """Return the rows of the sweep in a folder, in the order of its plan, and write them as JSONL and Parquet.

    Raises:
        ConfigError: there is no sweep in the folder.
        UnswayedError: the result of a finished cell cannot be read; the message names the cell.
    """
    root = Path(root)
    rows = list(rows_of(root, read_cells(root)))
    write_jsonl(root / JSONL, rows)
    write_atomic(root / PARQUET, to_parquet(rows))
    return rows


def to_parquet(rows: Sequence[Row]) -> bytes:
    """Return rows as a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Place:
    """A policy of the matrix, apart from its checkpoint."""

    model: str
    family: str
    seed: int | None
    what: str


def _place(cell: Cell) -> _Place:
    axes = cell.axes
    return _Place(axes["model"], axes["family"], axes["seed"], axes["what"])


def rows_of(root: Path, cells: Sequence[Cell]) -> Iterator[Row]:
    """Yield the rows of the evaluations that are done."""
    evals = [cell for cell in cells if cell.kind == "eval" and is_done(cell_folder(root, cell.key))]
    before = {_place(cell): cell for cell in evals if cell.axes["method"] == BASE and cell.axes["family"] != BASE}
    read = lru_cache(maxsize=16)(_read)  # the organism's, which every method is compared with
    for cell in evals:
        start = before.get(_place(cell)) if cell.axes["method"] != BASE else None
        earlier = {} if start is None else read(root, start.key)
        for name, after in _read(root, cell.key).items():
            yield from _rows(cell, name, after, earlier.get(name))


def _read(root: Path, key: str) -> dict[str, Result]:
    """Return the results of a cell by suite."""
    from unswayed.evals.results import EVAL, Result

    folder = cell_folder(root, key) / OUT
    try:
        found = [Result.load(path.parent) for path in sorted(folder.glob(f"*/{EVAL}"))]
    except UnswayedError as error:
        raise UnswayedError(f"the result of cell {key} cannot be used: {error}") from error
    return {result.title: result for result in found}


def _rows(cell: Cell, name: str, after: Result, before: Result | None) -> Iterator[Row]:
    from unswayed.evals.compare.compare import compare

    effects = {} if before is None else {effect.metric: effect for effect in compare(before, after)}
    told = after.summary()["metrics"]
    for metric, each in told.items():
        low, high = each["interval"] or (None, None)
        least, most = each["bounds"] or (None, None)
        effect = effects.get(metric)
        yield {
            "cell": cell.key,
            **{axis: cell.axes[axis] for axis in ("model", "family", "method", "seed", "checkpoint")},
            "suite": name,
            "metric": metric,
            "role": each["role"],
            "better": each["better"],
            "value": each["value"],
            "low": low,
            "high": high,
            "n": each["n"],
            "clusters": each["clusters"],
            "unscored": each["unscored"],
            "least": least,
            "most": most,
            "interval": each["method"],
            "before": effect.before.value if effect else None,
            "difference": effect.difference if effect else None,
            "difference_low": effect.low if effect else None,
            "difference_high": effect.high if effect else None,
            "pairs": effect.n if effect else None,
            "degenerate": ", ".join(after.degenerate),
        }
