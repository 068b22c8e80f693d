"""An audit as a folder that anyone can recompute: plan, replies, outcomes, verdicts, page, and the hash of each.

FOLDER/plan.json        what was decided, and its hash; written before the first outcome is computed
FOLDER/declared.json    of live policies: the same before the first sample is drawn; before/, after/: their evaluations
FOLDER/before.jsonl     the replies of each arm that were paired (also replicate.jsonl, parity.jsonl, labels.jsonl)
FOLDER/after.jsonl
FOLDER/outcomes.jsonl   what became of each reply, and who says so
FOLDER/audit.json       sections and verdicts
FOLDER/audit.html       the page
FOLDER/manifest.json    the SHA-256 of every other file, and the versions of what computed them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unswayed.audit.join import Joined, Key
from unswayed.audit.reply import ARMS, Reply, from_row, to_row
from unswayed.core.errors import DataError
from unswayed.core.files import read_jsonl, write_json, write_jsonl
from unswayed.core.hashing import hash_file, hash_json

FORMAT = 1
DECLARED = "declared.json"
"""Of live policies: what was decided before the first sample was drawn."""
PLAN, AUDIT, PAGE, MANIFEST, OUTCOMES = "plan.json", "audit.json", "audit.html", "manifest.json", "outcomes.jsonl"
USED = ("numpy", "scipy", "statsmodels", "matplotlib", "jinja2")
"""Packages whose version may change a digit, or a byte of the page."""


def versions() -> dict[str, str]:
    """Return the versions of what computes an audit."""
    return {name: version(name) for name in USED}


def write_replies(folder: Path, name: str, replies: Iterable[Reply]) -> None:
    """Write one arm's replies, without what was concluded about them."""
    write_jsonl(folder / f"{name}.jsonl", (_as_read(reply) for reply in replies))


def _as_read(reply: Reply) -> dict[str, Any]:
    row = {**to_row(reply), "given": reply.given}
    return row if reply.given else {**row, "outcome": None, "why": ""}


def write_outcomes(folder: Path, joined: Mapping[str, Joined]) -> None:
    """Write what became of each reply, one row a reply."""
    rows = [
        {"arm": name, "behaviour": one.behaviour, "id": one.id, "prompt_sha256": one.prompt_sha256, "draw": one.draw,
         "outcome": one.outcome, "why": one.why, "answer": one.answer}
        for name, replies in _sides(joined) for one in replies
    ]  # fmt: skip
    write_jsonl(folder / OUTCOMES, rows)


def _sides(joined: Mapping[str, Joined]) -> Iterable[tuple[str, list[Reply]]]:
    for arm in ARMS:
        yield arm, joined["pairs"].arm(arm)
    for name in ("replicate", "parity"):
        if name in joined:
            yield name, joined[name].arm("after")


def read_replies(folder: Path, name: str) -> list[Reply]:
    """Return the replies of one arm as they were read, without outcomes that others gave."""
    return [replace(from_row(row), given=row["given"]) for row in read_jsonl(folder / f"{name}.jsonl")]


def with_outcomes(folder: Path, name: str, side: dict[Key, list[Reply]]) -> dict[Key, list[Reply]]:
    """Return replies with the outcomes that the bundle holds.

    Raises:
        DataError: a reply without a row.
    """
    rows = {
        (row["behaviour"], row["id"], row["prompt_sha256"], row["draw"]): row
        for row in read_jsonl(folder / OUTCOMES)
        if row["arm"] == name
    }

    def take(key: Key, one: Reply) -> Reply:
        row = rows.get((*key, one.draw))
        if row is None:
            raise DataError(f"{folder / OUTCOMES}: no row for {name}, id {one.id!r}, draw {one.draw}")
        return replace(one, outcome=row["outcome"], why=row["why"], answer=row["answer"])

    return {key: [take(key, one) for one in some] for key, some in side.items()}


def write_manifest(folder: Path) -> str:
    """Write the hash of every file, and return the hash of them all: what a reviewer signs."""
    files = {
        path.name: hash_file(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST
    }
    files = {name: digest for name, digest in files.items() if not name.startswith((".", "LOCK"))}
    content = {"format": FORMAT, "files": files, "versions": versions()}
    write_json(folder / MANIFEST, {**content, "sha256": hash_json(content)})
    return hash_json(content)
