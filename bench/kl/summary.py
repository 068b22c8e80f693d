"""From what the arms said to one dictionary: medians, ratios, distance to the floor, and whether they agree."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.kl.work import OURS, OURS_TRAINED, PRODUCTS, TITLES, TRAINED, Work
from bench.step.summary import TOLERANCE
from unswayed.core.errors import UnswayedError


def arm_summary(name: str, facts: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], warmup: int) -> dict[str, Any]:
    """Return one arm's medians over the measured rounds. Memory is the most of all rounds, the first among them."""
    measured = steps[warmup:]
    return {
        "title": TITLES[name],
        "trained_head": name in TRAINED,
        "seconds": statistics.median(step["seconds"] for step in measured),
        "forward": statistics.median(step["forward"] for step in measured),
        "ready_rss": facts["ready_rss"],
        "peak_above_ready": steps[-1]["peak_rss"] - facts["ready_rss"],
        "peak_includes_loading": not facts["peak_since_ready"],
        "rounds": [step["seconds"] for step in measured],
    }


def ratios(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ours over each other arm that trains what ours trains; lowest and highest of single rounds."""
    found = {}
    for name, other in arms.items():
        mine = OURS_TRAINED if name in TRAINED else OURS
        if name == mine or mine not in arms:
            continue
        ours = arms[mine]
        rounds = [one / its for one, its in zip(ours["rounds"], other["rounds"], strict=True)]
        found[name] = {
            "ours": mine,
            "seconds": ours["seconds"] / other["seconds"],
            "lowest": min(rounds),
            "highest": max(rounds),
            "peak_above_ready": ours["peak_above_ready"] / max(other["peak_above_ready"], 1),
        }
    return found


def floor_summary(
    work: Work, arms: Mapping[str, Mapping[str, Any]], probe: Mapping[str, float], head_bytes: int
) -> dict[str, Any]:
    """Return the least seconds of each arm's products, a walk through the head for each, and how far it is."""
    found = {}
    for name, arm in arms.items():
        flops = PRODUCTS[name] * 2.0 * work.tokens * work.vocab * work.width
        least = max(flops / probe["flops_per_second"], PRODUCTS[name] * head_bytes / probe["bytes_per_second"])
        found[name] = {"flops": flops, "seconds": least, "times_floor": arm["seconds"] / least}
    return found


def check_summary(answers: Mapping[str, Mapping[str, Any]], dtype: str) -> dict[str, Any]:
    """Compare values and gradients with ours.

    Raises:
        UnswayedError: a difference that rounding does not explain; there is nothing to compare then.
    """
    limits = dict(zip(("value", "gradient", "head_gradient"), (*TOLERANCE[dtype], TOLERANCE[dtype][1]), strict=True))
    found = {}
    for name, answer in answers.items():
        entry = {"value": answer["value"], "gradient_norm": float(np.linalg.norm(answer["gradient"]))}
        for key, limit in limits.items():
            mine = answers[OURS_TRAINED if key == "head_gradient" and OURS_TRAINED in answers else OURS].get(key)
            if mine is None or key not in answer:
                continue
            norm = float(np.linalg.norm(mine))
            entry[f"{key}_difference"] = difference = float(np.linalg.norm(np.subtract(answer[key], mine))) / norm
            if not difference <= limit:  # written so that a NaN fails
                raise UnswayedError(
                    f"{TITLES[name]} does not compute what {TITLES[OURS]} computes: the {key.replace('_', ' ')} "
                    f"differs by {difference:.1e}, the limit is {limit:g}. No time is reported"
                )
        found[name] = entry
    return {"limits": limits, "arms": found}
