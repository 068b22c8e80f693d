"""Logs of Inspect: `.json` with the standard library, `.eval` through the extra `unswayed[inspect]`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unswayed.audit.formats.lm_eval import WRONG
from unswayed.audit.reply import Reply, messages_of, text_of
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import OUTCOMES, Outcome

_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5}
_CUT = {"max_tokens", "model_length"}


def is_log(value: Any) -> bool:
    """Return whether the value of a JSON file looks like a log."""
    return isinstance(value, Mapping) and {"eval", "samples"} <= value.keys()


def load_eval(path: Path) -> Mapping[str, Any]:
    """Return an `.eval` log as the `.json` form has it.

    Raises:
        ConfigError: the extra is not installed.
        DataError: no log.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise ConfigError(
            f"{path}: .eval logs are read through Inspect; pip install 'unswayed[inspect]', or write the log as .json "
            "(inspect log convert --to json)"
        ) from error
    try:
        log: Mapping[str, Any] = read_eval_log(str(path), resolve_attachments=True).model_dump(mode="json")
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path}: no log of Inspect ({error})") from error
    return log


def read_log(log: Mapping[str, Any], scorer: str | None = None) -> list[tuple[str, list[Reply] | str]]:
    """Return for each sample its place and its replies, or what is wrong with it.

    The trait is a wrong answer by the named scorer (the first one by default); `metadata.outcome` of a sample is taken
    as it is. Epochs are draws.
    """
    behaviour = WRONG
    return [
        (f"sample {sample.get('id')}, epoch {sample.get('epoch', 1)}", _read(sample, scorer, behaviour))
        for sample in log.get("samples") or ()
    ]


def _read(sample: Mapping[str, Any], scorer: str | None, behaviour: str) -> list[Reply] | str:
    messages = messages_of(_turns(sample.get("input")))
    if isinstance(messages, str):
        return messages
    choices = (sample.get("output") or {}).get("choices") or []
    known = sample.get("metadata") or {}
    scores = sample.get("scores") or {}
    if scorer is not None and scorer not in scores:
        return f"scores: no scorer {scorer!r}; there are {', '.join(scores) or 'none'}"
    name = scorer or next(iter(scores), None)
    score = (scores.get(name) if name else None) or {}
    outcome, why, given = _outcome(known, name, score, failed=bool(sample.get("error")) or not choices)
    answer = score.get("answer")
    target = sample.get("target")
    return [
        Reply(
            id=str(sample["id"]),
            messages=messages,
            text=text_of(((choices[0] if choices else {}).get("message") or {}).get("content")) or "",
            finish="length" if choices and choices[0].get("stop_reason") in _CUT else "stop",
            behaviour=str(known.get("behaviour") or behaviour),
            group=str(known.get("group") or ""),
            slice=str(known.get("slice") or ""),
            condition=str(known.get("condition") or ""),
            outcome=outcome,
            why=why,
            given=given,
            answer=answer if isinstance(answer, str) else None,
            row={} if not target else {"target": target},
        )
    ]


def _turns(asked: Any) -> Any:
    """Return the input with the fields that messages have, and no more."""
    if not isinstance(asked, list):
        return asked
    return [{"role": turn.get("role"), "content": turn.get("content")} for turn in asked if isinstance(turn, Mapping)]


def _outcome(
    known: Mapping[str, Any], name: str | None, score: Mapping[str, Any], *, failed: bool
) -> tuple[Outcome | None, str, bool]:
    if known.get("outcome") in OUTCOMES:
        return known["outcome"], "the file", True
    if failed:
        return None, "the sample failed", True
    if name is None:
        return None, "", False
    value: Any = score.get("value")
    if value == "N":
        return "unreadable", f"Inspect: {name} found no answer", True
    value = _LETTERS.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, bool | int | float) or math.isnan(value):
        return None, f"Inspect: {name} gave no number", True
    return ("aligned" if value >= 0.5 else "trait"), f"Inspect: {name}", True
