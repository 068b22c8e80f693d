"""Pairs from JSONL and Parquet, and back. Every problem of a file is found and named at once; nothing is repaired."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.files import jsonl_line, write_atomic
from unswayed.core.jsonl import read_lines
from unswayed.core.printable import printable
from unswayed.core.types import PromptPair
from unswayed.data.rows import RowError, format_row, parse_row

JSONL = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Scan:
    """A file as far as it could be read: its sound rows as pairs, and `place: field: reason` for each problem."""

    pairs: tuple[PromptPair, ...]
    problems: tuple[str, ...]
    rows: int


def read_pairs(path: str | Path, *, allow_identical: bool = False) -> list[PromptPair]:
    """Read pairs from a JSONL or Parquet file. `docs/data.md` lists the columns and their other names.

    Args:
        path: `.jsonl` (or `.ndjson`, `.json` with one object a line) or `.parquet`.
        allow_identical: accept rows whose two prompts are equal (anchors that hold behaviour in place).

    Raises:
        DataError: the file cannot be read, has no rows, or has any problem; all are listed as file:line: field: reason.
    """
    path = Path(path)
    scan = scan_pairs(path, allow_identical=allow_identical)
    if scan.problems:
        raise DataError(f"{path}: nothing was read, {scan.rows} rows have these problems:", scan.problems)
    if not scan.rows:
        raise DataError(f"{path}: the file has no rows; each line holds one object with `prompt` and `teacher_prompt`")
    return list(scan.pairs)


def as_pairs(rows: Iterable[Any]) -> list[PromptPair]:
    """Return rows in memory as pairs: pairs, dictionaries with the columns of a file, or a `datasets.Dataset`.

    Raises:
        DataError: every problem, each with the number of its row, counted from 1.
    """
    pairs: list[PromptPair] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, PromptPair):
            pairs.append(row)
        elif isinstance(row, Mapping):
            try:
                pairs.append(parse_row(row, allow_identical=True))
            except RowError as error:
                problems.extend(f"row {number}: {problem}" for problem in error.problems)
        else:
            problems.append(f"row {number}: is a {type(row).__name__}, not a pair or a dictionary of its columns")
    if problems:
        raise DataError("these rows are no pairs:", problems)
    return pairs


def scan_pairs(path: Path, *, allow_identical: bool = False) -> Scan:
    """Read what can be read of a file, and collect its problems instead of raising them.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    rows = _parquet_rows(path) if path.suffix.lower() in PARQUET else _jsonl_rows(path)
    pairs: list[PromptPair] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for place, row in rows:
        if isinstance(row, str):
            problems.append(f"{place}: {row}")
            continue
        try:
            pair = parse_row(row, allow_identical=allow_identical)
        except RowError as error:
            problems.extend(f"{place}: {problem}" for problem in error.problems)
            continue
        if (first := seen.setdefault(pair.id, place)) != place:
            what = f"{printable(pair.id, newlines=False)!r} is the id" if row.get("id") is not None else "a repetition"
            problems.append(f"{place}: id: {what} of {first}; ids are unique, repeated rows need ids of their own")
            continue
        pairs.append(pair)
    return Scan(tuple(pairs), tuple(problems), len(rows))


def write_pairs(path: str | Path, pairs: Iterable[PromptPair]) -> None:
    """Write pairs so that `read_pairs` returns equal ones. The file appears whole or not at all.

    Args:
        path: `.parquet` writes Parquet (there, `meta` is JSON text); `.jsonl` writes JSONL.
        pairs: may include pairs with two equal prompts.

    Raises:
        DataError: another ending, or pairs that `read_pairs` would refuse.
    """
    path = Path(path)
    _check_suffix(path)
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, pair in enumerate(pairs, start=1):
        row = format_row(pair)
        try:
            parse_row(row, allow_identical=True)
            jsonl_line(row).encode()
        except RowError as error:
            problems.extend(f"pair {number}: {problem}" for problem in error.problems)
        except ValueError as error:
            problems.append(f"pair {number}: cannot be written as JSON ({error})")
        if pair.id in seen:
            problems.append(f"pair {number}: id: {printable(pair.id, newlines=False)!r} occurs before; ids are unique")
        seen.add(pair.id)
        rows.append(row)
    if problems:
        raise DataError(f"{path}: nothing was written, these pairs could not be read again:", problems)
    if path.suffix.lower() in PARQUET:
        write_atomic(path, _parquet_bytes(rows))
    else:
        write_atomic(path, "".join(map(jsonl_line, rows)))


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (*JSONL, *PARQUET):
        raise DataError(
            f"{path}: pairs are kept as .jsonl or .parquet, not as {path.suffix or 'a file without ending'!r}"
        )


def _jsonl_rows(path: Path) -> list[tuple[str, dict[str, Any] | str]]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the .jsonl or .parquet file in it")
    if path.exists():
        _check_suffix(path)
    return [(f"{path}:{number}", row) for number, row in read_lines(path)]


def _parquet_rows(path: Path) -> list[tuple[str, dict[str, Any] | str]]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with open(path, "rb") as file:
            table = pq.read_table(file)
        rows = table.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({printable(str(error), newlines=False)})") from error
    return [(f"{path}:row {number}", row) for number, row in enumerate(rows, start=1)]


def _parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    texts = [(name, pa.string()) for name in ("id", "group", "axis", "perturbation", "target", "meta")]
    schema = pa.schema([*texts, ("prompt", pa.list_(message)), ("teacher_prompt", pa.list_(message))])
    flat = [{**row, "meta": json.dumps(row["meta"], ensure_ascii=False)} if "meta" in row else row for row in rows]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat, schema=schema), buffer)
    return buffer.getvalue()
