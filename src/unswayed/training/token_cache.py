"""Keep tokenised pairs on disk, so that many pairs are rendered, checked and tokenised once, not at every start.

    CACHE/tokens/KEY.safetensors    ids of all rows end to end, their lengths, and the warnings about them

KEY is the SHA-256 of everything that decides the result: the rows' messages (and targets, where they are trained on),
tokenizer files, template and its values, the limits they were held against, the versions of the libraries and the code
that does it. Nothing that a run learns from is taken from a file that does not verify; it is made again then. Anything
here may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic
from unswayed.core.hashing import hash_files, hash_json
from unswayed.core.types import PromptPair
from unswayed.data.labelled import KEY as LABEL

if TYPE_CHECKING:
    from unswayed.chat.render import Chat

log = logging.getLogger(__name__)
FORMAT = 1
FEWEST = 1000  # rows; fewer are tokenised sooner than anybody notices
LARGEST = 2 << 30  # bytes of all files; the ones longest unused go
CODE = (
    "chat/render.py",
    "chat/check.py",
    "chat/template.py",
    "chat/spans.py",
    "data/labelled.py",
    "training/token_cache.py",
)

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rows as ids: prompt, teacher prompt and, where targets are trained on and there is one, target; and notes."""

    rows: Sequence[tuple[Ids, Ids, Ids | None]]
    notes: tuple[str, ...]


def token_folder() -> Path:
    """Return where tokenised pairs lie; it may not exist yet."""
    return cache_root() / "tokens"


def obtain(
    pairs: Sequence[PromptPair], chat: Chat, render: Callable[[], Rendered], *, max_new_tokens: int, targets: bool
) -> Rendered:
    """Return what `render` returns for these pairs, from the cache where it is known.

    Args:
        pairs: all rows of the run in order.
        chat: tokenizer and template.
        render: does the work; its errors pass through, and nothing is kept then.
        max_new_tokens: what the prompts' lengths are held against.
        targets: whether `render` encodes targets.
    """
    if len(pairs) < FEWEST:
        return render()
    path = token_folder() / f"{_key(pairs, chat, max_new_tokens, targets)}.safetensors"
    if path.exists():
        try:
            found = _load(path, len(pairs))
        except Exception as error:  # of no narrower kind: whatever is wrong with a file, it is made again
            log.warning("%s: damaged, tokenising again (%s)", path, type(error).__name__)
        else:
            log.debug("read the tokenised pairs from %s", path)
            with suppress(OSError):
                os.utime(path)
            return found
    rendered = render()
    try:
        _save(path, rendered)
        _prune(path)
    except OSError as error:
        reason = error.strerror or error
        log.warning("%s: tokenised pairs could not be kept there (%s); the run goes on", path.parent, reason)
    return rendered


def _key(pairs: Sequence[PromptPair], chat: Chat, max_new_tokens: int, targets: bool) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        sides = [[[turn.role, turn.content] for turn in side] for side in (pair.prompt, pair.teacher_prompt)]
        label = [pair.target, pair.meta.get(LABEL)] if targets else None
        digest.update(json.dumps([pair.id, sides, label]).encode())
    return hash_json(
        {
            "format": FORMAT,
            "rows": digest.hexdigest(),
            "chat": chat.identity,
            "limits": [max_new_tokens, chat.context_length, chat.embedding_rows, chat.allow_special_tokens, targets],
            "libraries": {name: metadata.version(name) for name in ("transformers", "tokenizers", "jinja2")},
            "code": hash_files(Path(__file__).parents[1], CODE),
        }
    )


def _save(path: Path, rendered: Rendered) -> None:
    import numpy as np
    from safetensors.numpy import save

    lengths = np.array(
        [[-1 if ids is None else len(ids) for ids in row] for row in rendered.rows], dtype=np.int32
    ).reshape(-1, 3)
    flat = np.fromiter((id_ for row in rendered.rows for ids in row for id_ in ids or ()), dtype=np.int32)
    notes = json.dumps(rendered.notes)
    facts = {"notes": notes, "sha256": _digest(flat, lengths, notes)}
    write_atomic(path, save({"ids": flat, "lengths": lengths}, facts))


def _load(path: Path, rows: int) -> Rendered:
    """Return a file's rows.

    Raises:
        UnswayedError: it is not what was written. Whatever a damaged file makes the library raise passes through.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        facts, flat, lengths = file.metadata(), file.get_tensor("ids"), file.get_tensor("lengths")
    if facts["sha256"] != _digest(flat, lengths, facts["notes"]) or lengths.shape != (rows, 3):
        raise UnswayedError(f"{path}: other bytes than were written")
    ids, at = flat.tolist(), 0
    found: list[tuple[Ids, Ids, Ids | None]] = []
    for prompt, teacher, target in lengths.tolist():
        cuts = at, at + prompt, at + prompt + teacher, at + prompt + teacher + max(target, 0)
        parts = [tuple(ids[start:end]) for start, end in pairwise(cuts)]
        found.append((parts[0], parts[1], None if target < 0 else parts[2]))
        at = cuts[-1]
    return Rendered(found, tuple(json.loads(facts["notes"])))


def _digest(flat: Any, lengths: Any, notes: str) -> str:
    digest = hashlib.sha256()
    for part in (flat, lengths):
        digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(part.tobytes())
    digest.update(notes.encode())
    return digest.hexdigest()


def _prune(newest: Path) -> None:
    """Remove the files longest unused until all of them fit."""
    found = sorted(((path.stat().st_mtime, path) for path in newest.parent.glob("*.safetensors")), reverse=True)
    room = LARGEST
    for _, path in found:
        room -= path.stat().st_size
        if room < 0 and path != newest:
            path.unlink(missing_ok=True)
