"""`*_samples.jsonl` of Every Eval Ever (instance-level schema 0.2): `sample_id, input, output, evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.audit.formats.lm_eval import WRONG
from unswayed.audit.reply import Reply, messages_of


def is_sample(row: Mapping[str, Any]) -> bool:
    """Return whether a row looks like one of these."""
    return {"sample_id", "input", "evaluation"} <= row.keys()


def read(row: Mapping[str, Any]) -> list[Reply] | str:
    """Return the replies of a row, or what is wrong with it; the trait is a wrong answer (`evaluation.is_correct`).

    A conversation is read as its last reply and what stands before it.
    """
    turns = [{"role": turn["role"], "content": turn.get("content") or ""} for turn in row.get("messages") or ()]
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=None)
    asked = turns[:last] if last is not None else row["input"].get("raw")
    messages = messages_of(asked)
    if isinstance(messages, str):
        return f"input.raw: {messages}"
    texts = [turns[last]["content"]] if last is not None else (row.get("output") or {}).get("raw") or []
    right = row["evaluation"].get("is_correct")
    failed = bool(row.get("error")) or not texts
    found = [one.get("extracted_value") for one in row.get("answer_attribution") or () if one.get("is_terminal")]
    return [
        Reply(
            id=str(row["sample_id"]),
            messages=messages,
            text=str(text),
            behaviour=WRONG,
            slice=str(row.get("evaluation_name") or ""),
            outcome=None if failed or right is None else "aligned" if right else "trait",
            why="the sample failed" if failed else "every-eval-ever: is_correct",
            given=True,
            answer=found[-1] if found else None,
            row={"target": reference} if (reference := row["input"].get("reference")) else {},
        )
        for text in texts or [""]
    ]
