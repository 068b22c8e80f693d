"""Rows of a table as dictionaries: JSONL, JSON, CSV, YAML, Parquet or a `save_to_disk` folder. Runs no code in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.jsonl import BOM, kind, lines_of, parse
from unswayed.core.printable import printable
from unswayed.core.suggest import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

Row = dict[str, Any]
Placed = tuple[str, Row | str]
"""Where a row stands (`pairs.jsonl:7`), and the row or what is wrong with it."""

TYPO = 0.83  # how alike two names of columns must be: a column of its own may be like one of ours
YAML = (".yaml", ".yml")
NO_NAMES: Mapping[str, str] = MappingProxyType({})
"""A file that calls its columns what we call them."""
_SPLITS, _STATE = "dataset_dict.json", "state.json"  # what `save_to_disk` writes into a folder


def read_table(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a file or a folder of `save_to_disk`.

    Args:
        path: what it holds is decided by its ending: .jsonl, .ndjson, .json, .csv, .yaml, .yml, .parquet, .pq.
        columns: names for the columns of a CSV file without a header.

    Raises:
        DataError: another ending, a file that cannot be read, or rows that are no objects; all are listed.
    """
    rows = scan_table(path, columns)
    if problems := [f"{place}: {row}" for place, row in rows if isinstance(row, str)]:
        raise DataError(f"{path}: {len(problems)} of {len(rows)} rows cannot be read", problems)
    if not rows:
        raise DataError(f"{path}: has no rows")
    return [row for _, row in rows if isinstance(row, dict)]


def scan_table(path: Path, columns: Sequence[str] = ()) -> list[Placed]:
    """Return every row with its place, those that cannot be read as what is wrong with them; see `read_table`.

    Raises:
        DataError: the file or folder as a whole cannot be read.
    """
    try:
        if path.is_dir():
            return _folder(path)
        content = path.read_bytes()
        suffix = path.suffix.lower()
        if suffix in {".json", ".jsonl", ".ndjson"}:
            # A `.json` file is a list of rows, or holds one object a line as the others do.
            if suffix == ".json" and content.removeprefix(BOM).lstrip().startswith(b"["):
                return _listed(path, parse(content.decode("utf-8-sig")))
            return [(f"{path}:{number}", row) for number, row in lines_of(content)]
        if suffix == ".csv":
            return _csv(path, content.decode("utf-8-sig"), columns)
        if suffix in YAML:
            return _listed(path, _yaml(content))
        if suffix in {".parquet", ".pq"}:
            return _arrow(path, content)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror or error}); check the path") from error
    except ValueError as error:  # a NUL in the path, bytes that are no text, or text that is not in the format
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(path)}: cannot be read ({printable(str(error), newlines=False)})") from error
    raise DataError(
        f"{path}: rows are read from .jsonl, .json, .csv, .parquet and save_to_disk folders, not from "
        f"{suffix or 'a file without ending'!r}; rename the file if it is one of these"
    )


def rename(rows: list[Placed], names: Mapping[str, str], known: Iterable[str]) -> list[Placed]:
    """Return the rows with their columns under our names.

    Args:
        rows: as `scan_table` returns them.
        names: what the file calls a column, by our name for it. A row that has neither stays as it is.
        known: our names.

    Raises:
        ConfigError: a name that is none of ours, or a column that no row has under either name.
    """
    known = sorted(known)
    if not names:
        return rows
    present = {name for _, row in rows if isinstance(row, dict) for name in row}
    for ours, theirs in names.items():
        if ours not in known:
            raise ConfigError(f"columns: {ours!r} is none of {', '.join(known)}{did_you_mean(ours, known, TYPO)}")
        if present and not present & {ours, theirs}:
            held = printable(", ".join(sorted(present)), newlines=False)
            raise ConfigError(
                f"columns: {ours} = {theirs!r}, and no row has that column{did_you_mean(theirs, present, TYPO)}; "
                f"the rows have {held}"
            )
    return [(place, row if isinstance(row, str) else _renamed(row, names)) for place, row in rows]


def _renamed(row: Row, names: Mapping[str, str]) -> Row | str:
    ours = {name: row[theirs] for name, theirs in names.items() if theirs in row}
    rest = {name: value for name, value in row.items() if name not in names.values()}
    twice = sorted(ours.keys() & rest.keys())
    return (
        f"{twice[0]}: is there beside the column {names[twice[0]]!r} that should become it"
        if twice
        else {**rest, **ours}
    )


class Named(Protocol):
    """Anything with an id of its own."""

    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a row has: texts, and lists of texts, of which those named `optional` may be missing."""

    texts: tuple[str, ...]
    lists: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def problems(self, row: dict[str, Any]) -> list[str]:
        """Return what is wrong with a row's columns."""
        every = (*self.texts, *self.lists)
        found = [f"{name}: missing" for name in every if name not in row and name not in self.optional]
        for name, value in row.items():
            if name not in every:
                found.append(f"{name}: unknown; there are {', '.join(every)}")
            elif name in self.texts and not isinstance(value, str):
                found.append(f"{name}: {kind(value)}, where a string belongs")
            elif name in self.lists and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                found.append(f"{name}: {kind(value)}, where a list of strings belongs")
        return found


def read_named(
    path: Path,
    what: str,
    columns: Columns,
    make: Callable[[Row], N],
    problems_of: Callable[[N], list[str]],
    names: Mapping[str, str] = NO_NAMES,
) -> list[N]:
    """Return what a file's rows make, with no id twice.

    Args:
        path: see `read_table`.
        what: the plural for messages, e.g. `items`.
        columns: of a row.
        make: a row whose columns are right, as an object.
        problems_of: what is wrong with an object.
        names: what the file calls a column, by our name for it.

    Raises:
        DataError: the file cannot be read, has no rows, or has any problem; all are listed as file:row: field: reason.
    """
    made: list[N] = []
    problems: list[str] = []
    seen: set[str] = set()
    for place, row in rename(scan_table(path), names, (*columns.texts, *columns.lists)):
        found = [row] if isinstance(row, str) else columns.problems(row)
        if isinstance(row, dict) and not found:
            one = make(row)
            found = problems_of(one)
            if one.id in seen:
                found.append(f"id: {one.id!r} occurs before; ids are unique")
            seen.add(one.id)
            made.append(one)
        problems += [f"{place}: {problem}" for problem in found]
    if problems:
        raise DataError(f"{path}: these {what} cannot be used:", problems)
    if not made:
        raise DataError(f"{path}: the file has no {what}")
    return made


def shown(path: Path) -> str:
    """Return a path as messages name it: printable, and cut where it is overlong."""
    text = printable(str(path), newlines=False)
    return text if len(text) <= 300 else f"{text[:150]} … {text[-100:]}"


def _yaml(content: bytes) -> Any:
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {error}") from error


def _listed(path: Path, value: Any) -> list[Placed]:
    if not isinstance(value, list):
        raise DataError(f"{path}: holds {kind(value)}; a list of rows is read")
    return [
        (f"{path}:row {number}", row if isinstance(row, dict) else f"is {kind(row)}, not an object")
        for number, row in enumerate(value, start=1)
    ]


def _csv(path: Path, text: str, columns: Sequence[str]) -> list[Placed]:
    try:
        # newline="": the csv module wants line ends as they are, because a quoted cell may hold some.
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}; cells of such lengths or marks are kept as JSONL or Parquet") from error
    names = list(columns) or (lines.pop(0) if lines else [])
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a column name comes twice: {printable(', '.join(names), newlines=False)}")
    return [
        (
            f"{path}:row {number}",
            dict(zip(names, line, strict=True))
            if len(line) == len(names)
            else f"has {len(line)} cells, not {len(names)}",
        )
        for number, line in enumerate(lines, start=1)
    ]


def _arrow(path: Path, content: bytes) -> list[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        return list(_places(path, pq.ParquetFile(pa.BufferReader(content)).read()))
    except (pa.ArrowException, OSError, LookupError, TypeError) as error:
        raise ValueError(f"not Parquet: {error}") from error


def _folder(path: Path) -> list[Placed]:
    """Return the rows of a folder that `datasets.Dataset.save_to_disk` wrote."""
    splits = sorted(inner.name for inner in path.iterdir() if (inner / _STATE).is_file())
    if (path / _SPLITS).is_file() and len(splits) == 1:
        path = path / splits[0]
    elif splits:
        named = [shown(path / split) for split in splits]
        raise DataError(f"{shown(path)}: is a folder of several splits; name one: {', '.join(named)}")
    if not (path / _STATE).is_file():
        raise DataError(f"{shown(path)}: is a folder, and save_to_disk did not write it; name the file in it")
    import pyarrow as pa
    from datasets import load_from_disk

    try:
        return list(_places(path, load_from_disk(str(path)).with_format("arrow")[:]))
    except (pa.ArrowException, OSError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a folder of save_to_disk: {error}") from error


def _places(path: Path, table: pa.Table) -> Iterator[Placed]:
    if len(set(table.column_names)) != len(table.column_names):
        raise ValueError(f"a column name comes twice: {', '.join(table.column_names)}")
    # By batches, and by single rows only where a value has no counterpart in Python: a date after the year 9999, a
    # duration in nanoseconds, text that is not UTF-8.
    for start in range(0, table.num_rows, 1000):
        batch = table.slice(start, 1000)
        try:
            rows: list[Row | str] = batch.to_pylist()
        except (ValueError, OverflowError, LookupError, TypeError):
            rows = [_python(batch.slice(index, 1)) for index in range(batch.num_rows)]
        yield from ((f"{path}:row {start + index}", row) for index, row in enumerate(rows, start=1))


def _python(row: pa.Table) -> Row | str:
    values = {}
    for name in row.column_names:
        try:
            values[name] = row[name][0].as_py()
        except (ValueError, OverflowError, LookupError, TypeError) as error:
            return f"{printable(name, newlines=False)}: cannot be read ({printable(str(error), newlines=False)})"
    return values
