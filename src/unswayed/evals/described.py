"""What stands beside the rates of an evaluation and is neither good nor bad: length, thinking, and rates by slice."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from unswayed.evals.records import Record
from unswayed.readers.text import thinking_share, without_thinking


def described(records: Sequence[Record]) -> dict[str, Any]:
    """Return what `results.json` says about written completions, and about slices where samples have some.

    `length`: tokens of a completion; `cut` is the number that reached the length limit. `thinking`: completions with
    thinking in them, how many of those never closed it, and its mean share of their characters.
    """
    written = [record for record in records if not record.choices and record.finish != "failed"]
    found: dict[str, Any] = {}
    if written:
        tokens = [record.tokens for record in written]
        cut = sum(record.finish == "length" for record in written)
        found["length"] = {"mean": fmean(tokens), "median": median(tokens), "most": max(tokens), "cut": cut}
        shares = [(share, record) for record in written if (share := thinking_share(record.text))]
        found["thinking"] = {
            "completions": len(shares),
            "unclosed": sum(without_thinking(record.text) is None for _, record in shares),
            "share": fmean([share for share, _ in shares]) if shares else None,
        }
    if any(record.slice for record in records):
        names = sorted({record.slice for record in records})
        found["slices"] = {name: _slice([record for record in records if record.slice == name]) for name in names}
    return found


def _slice(records: Sequence[Record]) -> dict[str, Any]:
    """Return the mean score of a slice, with its counts."""
    values = [record.value for record in records if record.value is not None]
    return {"value": fmean(values) if values else None, "n": len(values), "unscored": len(records) - len(values)}
