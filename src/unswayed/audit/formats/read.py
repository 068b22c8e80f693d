"""Read one arm: a folder or a file, by whichever tool it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unswayed.audit.formats import every_eval_ever, inspect_log, lm_eval, openai_batch, ours, plain
from unswayed.audit.reply import Reply, from_row, number_draws
from unswayed.core.errors import DataError
from unswayed.core.hashing import hash_file, hash_json
from unswayed.core.jsonl import parse
from unswayed.core.tables import Row, scan_table, shown
from unswayed.evals.results import EVAL, RECORDS

Requests = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """One arm as it was read.

    Attributes:
        path: where. `format`: by which tool it was written. `sha256`: of its bytes.
        replies: of the behaviours in question. `side`: of what must not get worse beside them.
        sensitive: its texts may be harmful; None where nobody has said so.
    """

    path: str
    format: str
    sha256: str
    replies: tuple[Reply, ...]
    side: tuple[Reply, ...] = ()
    sensitive: bool | None = None


def read_arm(path: Path, inputs: Sequence[Path] = (), scorer: str | None = None) -> Source:
    """Return the replies of one arm.

    Args:
        path: a folder of `unswayed eval`, or a file of completions.
        inputs: input files of OpenAI's batch API; those that lie beside the output are found by themselves.
        scorer: of Inspect's scorers, the one that counts.

    Raises:
        DataError: a file that no format fits, or rows that cannot be used; all are listed.
    """
    folder = path.parent if path.name == RECORDS and (path.parent / EVAL).exists() else path
    if folder.is_dir():
        return _folder(folder)
    found, name = _log(path, scorer) if path.suffix in {".eval", ".json"} else (None, "")
    if found is None:
        found, name = _rows(path, inputs)
    problems = [f"{place}: {what}" for place, what in found if isinstance(what, str)]
    if problems:
        raise DataError(f"{shown(path)}: rows that cannot be audited ({name})", problems)
    replies = [reply for _, some in found for reply in some if isinstance(reply, Reply)]
    if not replies:
        raise DataError(f"{shown(path)}: has no completions")
    replies = replies if name == "bundle" else number_draws(replies)
    return Source(str(path), name, hash_file(path), tuple(replies))


def _folder(folder: Path) -> Source:
    replies, side, sensitive = ours.read_folder(folder)
    records = sorted(folder.rglob(RECORDS))
    digest = hash_json({str(path.relative_to(folder)): hash_file(path) for path in records})
    if not replies:
        raise DataError(f"{folder}: none of its primary metrics is a rate of replies; `unswayed compare` has them")
    grouped = [replace(reply, group=reply.group or reply.id) for reply in replies]
    return Source(str(folder), "unswayed eval", digest, tuple(grouped), tuple(side), sensitive)


def _log(path: Path, scorer: str | None) -> tuple[list[tuple[str, list[Reply] | str]] | None, str]:
    """Return the samples of an Inspect log; None where the file is none."""
    if path.suffix == ".eval":
        return inspect_log.read_log(inspect_log.load_eval(path), scorer), "Inspect log"
    try:
        value = parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None, ""
    return (inspect_log.read_log(value, scorer), "Inspect log") if inspect_log.is_log(value) else (None, "")


def _rows(path: Path, inputs: Sequence[Path]) -> tuple[list[tuple[str, list[Reply] | str]], str]:
    rows = scan_table(path)
    first = next((row for _, row in rows if isinstance(row, dict)), None)
    if first is None:
        return [(place, str(row)) for place, row in rows], "JSONL"
    if "draw" in first and "completion" in first and "prompt" not in first and "why" in first:
        return [(place, row if isinstance(row, str) else [from_row(row)]) for place, row in rows], "bundle"
    if lm_eval.is_lm_eval(first):
        kept = [
            (place, row)
            for place, row in rows
            if isinstance(row, str) or lm_eval.filter_of(row) == lm_eval.filter_of(first)
        ]
        return [
            (place, _read(row, lm_eval.read)) for place, row in kept
        ], f"lm-eval samples, filter {lm_eval.filter_of(first) or 'none'}"
    if openai_batch.is_output(first):
        requests = _requests(path, inputs)
        return [
            (place, _read(row, lambda one: openai_batch.read(one, requests))) for place, row in rows
        ], "OpenAI batch"
    if every_eval_ever.is_sample(first):
        return [(place, _read(row, every_eval_ever.read)) for place, row in rows], "every-eval-ever samples"
    if plain.is_plain(first):
        return [(place, _read(row, plain.read)) for place, row in rows], "JSONL"
    raise DataError(
        f"{shown(path)}: written by no tool that is known; rows hold {', '.join(sorted(first)[:8])}. Plain rows have "
        "id, prompt or messages, and completion; docs/audit.md lists the formats"
    )


def _read(row: Row | str, reader: Any) -> list[Reply] | str:
    if isinstance(row, str):
        return row
    try:
        found: list[Reply] | str = reader(row)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        return f"not in the form of the rows before it ({type(error).__name__}: {error})"
    return found


def _requests(path: Path, inputs: Sequence[Path]) -> Requests:
    """Return the requests of a batch by `custom_id`: of the named files, or of those that lie beside the output."""
    found: dict[str, Mapping[str, Any]] = {}
    for file in inputs or sorted(one for one in path.parent.glob("*.jsonl") if one != path):
        for place, row in scan_table(file):
            if isinstance(row, dict) and openai_batch.is_input(row):
                found.setdefault(str(row["custom_id"]), row)
            elif inputs:
                raise DataError(f"{place}: no request of the batch API (custom_id, url, body)")
    return found
