"""Read the rows of a JSONL, JSON, CSV, YAML or Parquet file as dictionaries, strictly and without running code."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.jsonl import kind, parse, read_lines
from unswayed.core.printable import printable

Row = dict[str, Any]


def read_table(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a file, by its ending: .jsonl, .ndjson, .json, .csv, .yaml, .yml, .parquet.

    Args:
        path: the file. JSON and YAML hold a list of objects.
        columns: names for the columns of a CSV file without a header.

    Raises:
        DataError: another ending, a file that cannot be read, or rows that are no objects; all are listed.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: rows are read from {', '.join(_READERS)}, not from {path.suffix or 'other files'!r}")
    try:
        rows = _csv(path, columns) if read is _csv else read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({printable(str(error), newlines=False)})") from error
    if not rows:
        raise DataError(f"{path}: has no rows")
    return rows


def _jsonl(path: Path) -> list[Row]:
    lines = read_lines(path)
    if problems := [f"{path}:{number}: {row}" for number, row in lines if isinstance(row, str)]:
        raise DataError(f"{path}: {len(problems)} lines are no rows", problems)
    return [row for _, row in lines if isinstance(row, dict)]


def _json(path: Path) -> list[Row]:
    return _objects(path, parse(path.read_text(encoding="utf-8-sig")))


def _yaml(path: Path) -> list[Row]:
    import yaml  # type: ignore[import-untyped]

    try:
        return _objects(path, yaml.safe_load(path.read_text(encoding="utf-8-sig")))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({printable(str(error), newlines=False)})") from error


def _objects(path: Path, value: Any) -> list[Row]:
    if not isinstance(value, list):
        raise DataError(f"{path}: holds {kind(value)}; a list of rows is read")
    problems = [
        f"row {number}: is {kind(row)}" for number, row in enumerate(value, start=1) if not isinstance(row, dict)
    ]
    if problems:
        raise DataError(f"{path}: {len(problems)} rows are no objects", problems)
    return value


def _csv(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    # newline="": the csv module wants line ends as they are, because a quoted cell may hold some.
    text = path.read_bytes().decode("utf-8-sig")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not CSV ({error})") from error
    lines = [line for line in lines if line]
    names = list(columns) or (lines.pop(0) if lines else [])
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a column name comes twice: {', '.join(names)}")
    problems = [
        f"row {number}: has {len(line)} cells, not {len(names)}"
        for number, line in enumerate(lines, start=1)
        if len(line) != len(names)
    ]
    if problems:
        raise DataError(f"{path}: {len(problems)} rows do not fit the columns", problems)
    return [dict(zip(names, line, strict=True)) for line in lines]


def _parquet(path: Path) -> list[Row]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with open(path, "rb") as file:
            rows: list[Row] = pq.read_table(file).to_pylist()
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be read as Parquet ({printable(str(error), newlines=False)})") from error
    return rows


_READERS = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".parquet": _parquet,
}
