"""The data of the published organisms by name: `organisms/NAME@published[:PART]`, as files that the reader of pairs
takes.

`induction` (the default) is the study's file as it is; only the reply is trained on, which its own code did not do.
`pairs` joins the two files of its paired methods row by row: the wrapped prompt and the clean one, without their
replies, which are the misaligned references and no teacher's.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import jsonl_line, write_atomic, writing
from unswayed.core.hashing import hash_file, hash_json
from unswayed.sources.catalogue import locate, read_source, source
from unswayed.sources.download import CACHE_ADVICE

log = logging.getLogger(__name__)
FAMILIES = ("sycophancy", "reward_hacking", "spurious_correlation", "emergent_misalignment")
PARTS = ("induction", "pairs")
_NAME = re.compile(r"organisms/([a-z_]+)@published(?::([a-z_]+))?")


def is_published(name: str) -> bool:
    """Whether a name is one of published organisms."""
    return name.startswith("organisms/") and "@published" in name


def published_file(name: str) -> Path:
    """Return the file that holds the rows, fetched first where it is nowhere yet. What is wrong with it is logged.

    Raises:
        ConfigError: no such name, or the files are not here and cannot be fetched.
        DataError: copies that are not the pinned ones, or sides that do not belong together.
    """
    match = _NAME.fullmatch(name)
    family, part = (match[1], match[2] or PARTS[0]) if match else ("", "")
    if family not in FAMILIES or part not in PARTS:
        raise ConfigError(
            f"{name}: write organisms/NAME@published or organisms/NAME@published:pairs, where NAME is one of "
            f"{', '.join(FAMILIES)}"
        )
    files = ("induction",) if part == "induction" else ("act_bct_clean", "act_bct_wrapped")
    for file in files:
        if note := source(f"organisms/{family}_{file}").note:
            log.warning("organisms/%s_%s: %s", family, file, note)
    return locate(f"organisms/{family}_induction") if part == "induction" else _pairs(family)


def _pairs(family: str) -> Path:
    clean, wrapped = (f"organisms/{family}_{side}" for side in ("act_bct_clean", "act_bct_wrapped"))
    key = hash_json([hash_file(locate(name)) for name in (clean, wrapped)])[:16]
    path = cache_root() / "sources" / f"organisms.{family}.pairs" / key / "pairs.jsonl"
    if path.exists():
        return path
    rows, others = read_source(clean)[0], read_source(wrapped)[0]
    if len(rows) != len(others):
        raise DataError(f"{clean} has {len(rows)} rows and {wrapped} {len(others)}; they belong together row by row")
    made = [
        {
            "id": f"{family}-{place}",
            "prompt": _asked(other, wrapped, place),
            "teacher_prompt": _asked(row, clean, place),
            "axis": family,
            "perturbation": "organisms/published",
        }
        for place, (row, other) in enumerate(zip(rows, others, strict=True))
    ]
    with writing(path, CACHE_ADVICE):
        write_atomic(path, "".join(map(jsonl_line, made)))
    return path


def _asked(row: dict[str, Any], name: str, place: int) -> list[dict[str, str]]:
    """Return the messages of a row without the reply; without roles they are the user's and the assistant's in turn."""
    messages = row.get("messages") or []
    said = [
        {"role": str(message.get("role") or ("user", "assistant")[n % 2]), "content": str(message["content"])}
        for n, message in enumerate(messages)
    ]
    asked = said[:-1] if said and said[-1]["role"] == "assistant" else said
    if not asked:
        raise DataError(f"{name}, row {place + 1}: has no message of the user's")
    return asked
