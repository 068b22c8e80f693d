"""Pairs from files, folders, the hub and memory, and back. All problems are named at once; nothing is repaired."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.errors import DataError
from unswayed.core.files import jsonl_line, write_atomic
from unswayed.core.hashing import hash_file, hash_files, hash_json
from unswayed.core.printable import printable
from unswayed.core.seeding import rng
from unswayed.core.tables import NO_NAMES, YAML, Placed, rename, scan_table, shown
from unswayed.core.types import Message, PromptPair
from unswayed.data.rows import CHAT, COMPLETION, RESERVED, RowError, format_row, has_teacher, parse_row
from unswayed.sources.hub import hub_file, is_hub
from unswayed.sources.published import is_published, published_file

if TYPE_CHECKING:
    from unswayed.config.recipe import DataConfig

JSONL = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Scan:
    """A file as far as it could be read: its sound rows as pairs, and `place: field: reason` for each problem.

    `plain` has the ids of rows that say nothing about the teacher, where those are accepted.
    """

    pairs: tuple[PromptPair, ...]
    problems: tuple[str, ...]
    rows: int
    plain: frozenset[str] = frozenset()


def read_pairs(
    source: str | Path | Iterable[Any],
    *,
    allow_identical: bool = False,
    columns: Mapping[str, str] = NO_NAMES,
    need_teacher: bool = True,
) -> list[PromptPair]:
    """Read pairs from a file, a folder, the hub, or rows in memory. `docs/data.md` lists the columns.

    Args:
        source: a `.jsonl`, `.json`, `.csv` or `.parquet` file, a folder that `save_to_disk` wrote,
            `hub:OWNER/NAME[@REVISION][:SPLIT]`, or an iterable of rows, such as a `datasets.Dataset`.
        allow_identical: accept rows whose two prompts are equal (anchors that hold behaviour in place).
        columns: what the file calls a column, by our name for it: `{"prompt": "question"}`.
        need_teacher: with `False`, rows with a target need no teacher's prompt; `sft` on targets uses none.

    Raises:
        DataError: the file cannot be read, has no rows, or has any problem; all are listed as file:line: field: reason.
        ConfigError: `columns` does not fit, or the hub does not give the data.
    """
    found = scan_pairs(source, allow_identical=allow_identical, columns=columns, need_teacher=need_teacher)
    return list(sound(source if isinstance(source, str | Path) else "rows in memory", found).pairs)


def sound(name: str | Path, found: Scan) -> Scan:
    """Return a scan that has rows and no problems.

    Raises:
        DataError: it has none, or some.
    """
    if found.problems:
        raise DataError(
            f"{shown(Path(name))}: nothing was read, {found.rows} rows have these problems:", found.problems
        )
    if not found.rows:
        raise DataError(f"{shown(Path(name))}: has no rows; each is an object with `prompt` and `teacher_prompt`")
    return found


def read_data(data: DataConfig, seed: int, *, need_teacher: bool = True) -> tuple[Path, list[PromptPair]]:
    """Return where the pairs of a recipe lie on this machine, and the pairs; see `read_pairs`.

    Args:
        data: the recipe's table; `rows` of the pairs are drawn by `seed` and keep their order.
        seed: of the recipe.
        need_teacher: as in `read_pairs`; where it is false, a pair without target is of no use.

    Raises:
        DataError: fewer pairs of use than `data.rows`.
    """
    path = locate_data(data.train)
    # Where no teacher is asked, equal prompts are not a row without effect.
    identical = data.allow_identical or not need_teacher
    pairs = read_pairs(path, allow_identical=identical, columns=data.columns, need_teacher=need_teacher)[: data.limit]
    if data.one_side is not None:
        sides = [getattr(pair, data.one_side) for pair in pairs]
        pairs = [replace(pair, prompt=side, teacher_prompt=side) for pair, side in zip(pairs, sides, strict=True)]
    if data.rows is not None:
        pairs = [pair for pair in pairs if need_teacher or pair.target]
        if len(pairs) < data.rows:
            raise DataError(
                f"{path}: data.rows = {data.rows}, but {len(pairs)} rows are of use; set it lower everywhere"
            )
        pairs = [pairs[i] for i in sorted(rng(seed, "rows").permutation(len(pairs))[: data.rows])]
    return path, pairs


def locate_data(name: str | Path) -> Path:
    """Return the file or folder that a name stands for; `hub:` and published data are fetched into the cache first.

    Raises:
        ConfigError: the hub, or the home of a published set, does not give the data.
    """
    if is_published(str(name)):
        return published_file(str(name))
    return hub_file(str(name)) if is_hub(str(name)) else Path(name)


def hash_data(path: Path, columns: Mapping[str, str] = NO_NAMES) -> str:
    """Return the SHA-256 of a file, or of a folder's files, and of the columns that are read under other names."""
    files = (str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()) if path.is_dir() else ()
    digest = hash_files(path, files) if path.is_dir() else hash_file(path)
    return hash_json([digest, dict(columns)]) if columns else digest


def scan_pairs(
    source: str | Path | Iterable[Any],
    *,
    allow_identical: bool = False,
    columns: Mapping[str, str] = NO_NAMES,
    need_teacher: bool = True,
) -> Scan:
    """Read what can be read of pairs, and collect their problems instead of raising them; see `read_pairs`.

    Raises:
        DataError: the file as a whole cannot be read.
        ConfigError: `columns` does not fit, or the hub does not give the data.
    """
    if isinstance(source, str | Path):
        rows = _filled(scan_table(_not_yaml(locate_data(source))))
    elif isinstance(source, Mapping):
        raise DataError(f"{', '.join(map(str, source))}: a dictionary holds no rows in order; pass one of its values")
    else:
        rows = [(f"row {number}", _in_memory(row)) for number, row in enumerate(source, start=1)]
    pairs: list[PromptPair] = []
    problems: list[str] = []
    plain: set[str] = set()
    seen: dict[str, str] = {}
    for place, row in rename(rows, columns, (*RESERVED, CHAT, COMPLETION)):
        if isinstance(row, str):
            problems.append(f"{place}: {row}")
            continue
        try:
            pair = parse_row(row, allow_identical=allow_identical, need_teacher=need_teacher)
        except RowError as error:
            problems.extend(f"{place}: {problem}" for problem in error.problems)
            continue
        if (first := seen.setdefault(pair.id, place)) != place:
            what = f"{printable(pair.id, newlines=False)!r} is the id" if row.get("id") is not None else "a repetition"
            problems.append(f"{place}: id: {what} of {first}; ids are unique, repeated rows need ids of their own")
            continue
        pairs.append(pair)
        if not has_teacher(row):
            plain.add(pair.id)
    return Scan(tuple(pairs), tuple(problems), len(rows), frozenset(plain))


def _not_yaml(path: Path) -> Path:
    if path.suffix.lower() in YAML:  # where an alias of an alias makes a small file endless
        raise DataError(f"{shown(path)}: pairs are read from .jsonl, .csv and .parquet, not from YAML")
    return path


def _filled(rows: list[Placed]) -> list[Placed]:
    """Return rows without their empty cells: CSV has no other way to leave a value out."""
    csv = ".csv:row "
    return [
        (place, {name: value for name, value in row.items() if value != ""})
        if isinstance(row, dict) and csv in place.lower()
        else (place, row)
        for place, row in rows
    ]


def _in_memory(row: Any) -> dict[str, Any] | str:
    """Return a row in memory as the row of a file would be."""
    if isinstance(row, PromptPair):
        row = {field.name: getattr(row, field.name) for field in fields(row)}
    if not isinstance(row, Mapping):
        return f"is a {type(row).__name__}, not a pair or a dictionary of its columns"
    return {str(name): _as_json(value) for name, value in row.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, Message):
        return {"role": value.role, "content": value.content}
    if isinstance(value, Mapping):
        return {str(name): _as_json(inner) for name, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def write_pairs(path: str | Path, pairs: Iterable[PromptPair], *, plain: Collection[str] = ()) -> None:
    """Write pairs so that `read_pairs` returns equal ones. The file appears whole or not at all.

    Args:
        path: `.parquet` writes Parquet (there, `meta` is JSON text); `.jsonl` writes JSONL.
        pairs: may include pairs with two equal prompts.
        plain: ids of pairs that are written without a teacher's prompt.

    Raises:
        DataError: another ending, or pairs that `read_pairs` would refuse.
    """
    path = Path(path)
    if path.suffix.lower() not in (*JSONL, *PARQUET):
        raise DataError(
            f"{shown(path)}: pairs are kept as .jsonl or .parquet, not as {path.suffix or 'a file without ending'!r}"
        )
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
        if pair.id in plain:
            del row["teacher_prompt"]
        rows.append(row)
    if problems:
        raise DataError(f"{path}: nothing was written, these pairs could not be read again:", problems)
    if path.suffix.lower() in PARQUET:
        write_atomic(path, _parquet_bytes(rows))
    else:
        write_atomic(path, "".join(map(jsonl_line, rows)))


def _parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    texts = [(name, pa.string()) for name in ("id", "group", "axis", "perturbation", "target", "meta")]
    schema = pa.schema([*texts, ("prompt", pa.list_(message)), ("teacher_prompt", pa.list_(message))])
    flat = [{**row, "meta": json.dumps(row["meta"], ensure_ascii=False)} if "meta" in row else row for row in rows]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat, schema=schema), buffer)
    return buffer.getvalue()
