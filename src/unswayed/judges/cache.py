"""The cache of verdicts on disk, so that the same question is paid for once.

FOLDER/verdicts-<judge and rubric>.jsonl holds one line for each verdict, keyed on everything that can change it: the
judge's identity (kind, model, URL, parameters), the rubric's words, and every word that is shown. Lines are appended
and made durable as each few questions are answered; a process killed in between leaves at most one torn line, which the
next one drops. What failed is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unswayed.core.files import append_jsonl, drop_torn, locked, read_jsonl
from unswayed.core.hashing import hash_json
from unswayed.judges.base import Item, Judge, Verdict
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERSION

FORMAT = 1
CHUNK = 8
"""Questions whose answers are written together."""


class CachedJudge:
    """A judge whose verdicts are kept on disk. Several processes may use one folder at once.

    Args:
        judge: who is asked what is not known yet.
        folder: where verdicts are kept.
    """

    def __init__(self, judge: Judge, folder: Path) -> None:
        self.judge = judge
        self.folder = folder
        self.name = judge.name
        self._known: dict[Path, dict[str, Verdict]] = {}

    @property
    def identity(self) -> str:
        """The judge's own, since kept verdicts are its verdicts."""
        return self.judge.identity

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        """See `Judge.grade`.

        Raises:
            DataError: the file was changed by something else.
        """
        path = self.path(rubric)
        known = self._read(path)
        keys = [self.key(rubric, item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        found: dict[str, Verdict] = {}
        wanted = list(missing)
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            verdicts = self.judge.grade(rubric, [missing[key] for key in chunk])
            found.update(zip(chunk, verdicts, strict=True))
            self._append(path, {key: found[key] for key in chunk if found[key].status != "error"})
        return [known[key] if key in known else found[key] for key in keys]

    def key(self, rubric: Rubric, item: Item) -> str:
        """Return the hash of everything that decides an item's verdict."""
        shown = [item.request, item.reply, {name: item.material.get(name, "") for name in rubric.material}]
        return hash_json([FORMAT, VERSION, self.judge.identity, rubric.sha256, shown])

    def path(self, rubric: Rubric) -> Path:
        """Return the file that holds this judge's verdicts by this rubric."""
        return self.folder / f"verdicts-{hash_json([self.judge.identity, rubric.sha256])[:12]}.jsonl"

    def _read(self, path: Path) -> dict[str, Verdict]:
        if path not in self._known:
            self._known[path] = {row["key"]: _verdict(row) for row in read_jsonl(path)}
        return self._known[path]

    def _append(self, path: Path, verdicts: dict[str, Verdict]) -> None:
        if not verdicts:
            return
        with locked(self.folder, wait=True):
            drop_torn(path)
            append_jsonl(path, ({"key": key, **asdict(verdict)} for key, verdict in verdicts.items()))
        self._known[path].update(verdicts)


def _verdict(row: dict[str, Any]) -> Verdict:
    fields = {name: value for name, value in row.items() if name != "key"}
    return Verdict(**{**fields, "flags": tuple(row["flags"])})
