"""From the answers of the arms to figures: ratios pair by pair, memory, machine rates, and whether the arms agree."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.race import Child
from unswayed.core.errors import UnswayedError

OURS = "unswayed"
TOLERANCE = {"float32": (1e-3, 1e-2), "float64": (1e-8, 1e-7), "bfloat16": (0.1, 0.3)}  # of losses, of gradients


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return our median over theirs, and the lowest and highest ratio of a single round.

    A round in which the other arm did not run is compared with its last one.
    """
    rounds = [mine / theirs[min(number, len(theirs) - 1)] for number, mine in enumerate(ours)]
    return {
        "seconds": statistics.median(ours) / statistics.median(theirs),
        "lowest": min(rounds),
        "highest": max(rounds),
    }


def memory(child: Child) -> dict[str, Any]:
    """Return an arm's peak of resident memory over all rounds, in bytes, and what was resident before the first."""
    ready, peak = child.facts["ready_rss"], child.steps[-1]["peak_rss"]
    return {
        "ready_rss": ready,
        "peak_rss": peak,
        "peak_above_ready": peak - ready,
        "peak_includes_loading": not child.facts["peak_since_ready"],
    }


def probe_summary(steps: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the best rates of all rounds, which the floor is made of, and those of each round."""
    return {
        "flops_per_second": max(step["flops"] for step in steps),
        "bytes_per_second": max(max(step["copy"], step["read"]) for step in steps),
        "rounds": [dict(step) for step in steps],
    }


def probe_line(result: Mapping[str, Any]) -> str:
    """Return the machine's rates as one line."""
    probe, dtype = result["probe"], result["settings"]["dtype"]
    return (
        f"machine in the same run: {probe['flops_per_second'] / 1e9:.0f} GFLOP/s in products of {dtype}, "
        f"{probe['bytes_per_second'] / 1e9:.1f} GB/s"
    )


def agree(
    answers: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], limits: Mapping[str, float]
) -> dict[str, Any]:
    """Compare what the arms computed from the same inputs.

    Args:
        answers: numbers or vectors by name, of each arm; the first arm that has a name is compared with the others.
        limits: the largest relative difference by name.

    Returns:
        The limits, and for each arm its numbers, the norms of its vectors, and its differences relative to the norm.

    Raises:
        UnswayedError: a difference that rounding does not explain; no time may be reported then.
    """
    found: dict[str, dict[str, float]] = {}
    for name, answer in answers.items():
        found[name] = entry = {}
        for key, limit in limits.items():
            if key not in answer:
                continue
            reference = next(arm for arm, other in answers.items() if key in other)
            mine, value = np.asarray(answers[reference][key]), np.asarray(answer[key])
            entry[f"{key}_norm" if value.ndim else key] = float(np.linalg.norm(value)) if value.ndim else float(value)
            difference = float(np.linalg.norm(value - mine) / np.linalg.norm(mine))
            entry[f"{key}_difference"] = difference
            if not difference <= limit:  # written so that a NaN fails
                raise UnswayedError(
                    f"{titles[name]} does not compute what {titles[reference]} computes: {key.replace('_', ' ')} "
                    f"differs by {difference:.1e}, the limit is {limit:g}. No time is reported"
                )
    return {"limits": dict(limits), "arms": found}
