"""The process that checks answers: requests as JSON lines in, what was found as JSON lines out.

Before each check a timer of processor time is set whose signal has its default effect, so that the kernel ends the
process even inside a C function that never returns; processor time, because a busy machine must not change a verdict.
Memory is limited as well. Nothing of a request is ever run as code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

BYTES = 4 << 30
"""Address space of the process."""

Check = Callable[[dict[str, Any]], dict[str, Any]]


def _load(kind: str) -> Check:
    """Import what a kind of check needs; this may take longer than a check."""
    if kind == "mathematics":
        from unswayed.evals.scoring.checks.mathematics import check

        return check
    if kind == "instructions":
        from unswayed.evals.scoring.checks.instructions import check as check_instructions

        return check_instructions
    raise ValueError(f"no check {kind!r}")


def main(seconds: float) -> None:
    """Answer requests until standard input ends, each within `seconds` of processor time."""
    out = _private_stdout()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    checks: dict[str, Check] = {}
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        kind = asked["kind"]
        if kind not in checks:
            checks[kind] = _load(kind)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            found = checks[kind](asked["request"])
        except (Exception, RecursionError) as error:
            found = {"reason": f"cannot be checked ({type(error).__name__})"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(found), file=out, flush=True)


def _private_stdout() -> TextIO:
    """Return the real standard output, and send what libraries print elsewhere."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    main(float(sys.argv[1]))
