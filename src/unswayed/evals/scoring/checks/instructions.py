"""Whether a reply keeps verifiable instructions, by the published checkers of IFEval (in the worker; see `worker`).

The checkers are Google's own (Zhou et al. 2023, arXiv 2311.07911), as the package if-verifiable ships them. Two things
around them are replaced, so that a verdict depends on nothing but the reply: sentences are split by the same Punkt
model, taken from a package instead of NLTK's download, and the language detector draws from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import langdetect
import nltk.tokenize
import punkt
from if_verifiable.ifeval import instructions_util
from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

langdetect.DetectorFactory.seed = 0
instructions_util.count_sentences = lambda text: len(punkt.sent_tokenize(text))
nltk.tokenize.sent_tokenize = lambda text, language="english": punkt.sent_tokenize(text)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Return for each instruction whether the reply keeps it, or a reason.

    Args:
        request: `reply`; `prompt`; `instructions`, pairs of an id and its arguments.

    Returns:
        `strict` and `loose`, one truth value an instruction. Loose: the reply, or one of seven forms of it without its
        first line, its last line, both, or its asterisks.
    """
    found: dict[str, Any] = {"strict": [], "loose": []}
    for name, arguments in request["instructions"]:
        if name not in INSTRUCTION_DICT:
            return {"reason": f"no checker for {name}"}
        checker = INSTRUCTION_DICT[name](name)
        missing = _build(checker, arguments, request["prompt"])
        if missing:
            return {"reason": f"{name} lacks {', '.join(missing)}"}
        kept = [bool(form.strip() and checker.check_following(form)) for form in _forms(request["reply"])]
        found["strict"].append(kept[0])
        found["loose"].append(any(kept))
    return found


def _build(checker: Any, arguments: Mapping[str, Any], prompt: str) -> list[str]:
    """Give a checker its arguments; return the names of those that were not given, which it would draw at random."""
    given = {name: value for name, value in arguments.items() if value is not None}
    checker.build_description(**given)
    needed = dict(checker.get_instruction_args() or {})
    if "prompt" in needed:
        checker.build_description(prompt=prompt)
        del needed["prompt"]
    return sorted(needed.keys() - given.keys())


def _forms(reply: str) -> list[str]:
    lines = reply.split("\n")
    cut = [reply, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cut, *(form.replace("*", "") for form in cut)]
