"""From what the arms said to one dictionary: medians, ratios, distance to the floor, and what was checked."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.step.floor import Rows, Shape, floor
from bench.step.work import OURS, PHASES, PLAIN, TITLES, TRLS
from unswayed.core.errors import UnswayedError
from unswayed.core.types import TokenizedPair
from unswayed.engine.batching import common_prefix

TOLERANCE = {"float32": (1e-3, 1e-2), "float64": (1e-8, 1e-7), "bfloat16": (0.1, 0.3)}  # of losses, of gradients


def arm_summary(name: str, facts: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], warmup: int) -> dict[str, Any]:
    """Return one arm's medians over the measured steps, beside every step."""
    measured = [_step(step) for step in steps[warmup:]]
    tokens = [step["tokens"] for step in measured]
    lengths = [length for step in measured for length in step["lengths"]]
    return {
        "title": TITLES[name],
        "seconds": statistics.median(step["seconds"] for step in measured),
        "seconds_per_token": statistics.median(step["seconds"] / step["tokens"] for step in measured),
        "phases": {phase: statistics.median(step["phases"][phase] for step in measured) for phase in PHASES},
        "tokens": statistics.median(tokens),
        "mean_length": statistics.mean(lengths),
        "weight_bytes": facts["weight_bytes"],
        "ready_rss": facts["ready_rss"],
        "peak_rss": steps[-1]["peak_rss"],
        "peak_above_ready": steps[-1]["peak_rss"] - facts["ready_rss"],
        "peak_includes_loading": not facts["peak_since_ready"],
        "warmup": [_step(step) for step in steps[:warmup]],
        "steps": measured,
    }


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    lengths = [len(ids) for ids in step["completions"]]
    return {
        "seconds": step["seconds"],
        "phases": dict(step["phases"]),
        "tokens": sum(lengths),
        "lengths": lengths,
    }


def ratio(ours: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Return ours over another arm's: below 1 ours is faster, or smaller.

    `lowest` and `highest` are of single rounds, in which both took the same pairs.
    """
    rounds = [mine["seconds"] / its["seconds"] for mine, its in zip(ours["steps"], other["steps"], strict=True)]
    return {
        "seconds": ours["seconds"] / other["seconds"],
        "lowest": min(rounds),
        "highest": max(rounds),
        "seconds_per_token": ours["seconds_per_token"] / other["seconds_per_token"],
        "peak_above_ready": ours["peak_above_ready"] / other["peak_above_ready"],
    }


def fastest(arms: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str | None:
    """Return which of these arms has the smallest median."""
    there = [name for name in names if name in arms]
    return min(there, key=lambda name: arms[name]["seconds"]) if there else None


def ratios(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ours over TRL's fastest variant and over the plain loop, as far as they were run."""
    against = {"trl": fastest(arms, TRLS), "transformers": fastest(arms, [PLAIN])}
    return {key: {"arm": name, **ratio(arms[OURS], arms[name])} for key, name in against.items() if name is not None}


def probe_summary(steps: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the best rates of all rounds, which the floor is made of, and each round's."""
    return {
        "flops_per_second": max(step["flops"] for step in steps),
        "bytes_per_second": max(max(step["copy"], step["read"]) for step in steps),
        "rounds": [dict(step) for step in steps],
    }


def floor_summary(
    shape: Shape,
    pairs: Sequence[TokenizedPair],
    ours: Mapping[str, Any],
    warmup: int,
    per_step: int,
    probe: Mapping[str, Any],
) -> dict[str, Any]:
    """Return each phase's floor for the tokens that our arm drew, medians over its measured steps."""
    found = []
    for number, step in enumerate(ours["steps"], start=warmup):
        part = pairs[number * per_step : (number + 1) * per_step]
        sides = ([pair.prompt_ids for pair in part], [pair.teacher_prompt_ids for pair in part])
        student, teacher = (Rows([len(ids) for ids in side], common_prefix(side), step["lengths"]) for side in sides)
        found.append(floor(shape, student, teacher, probe["flops_per_second"], probe["bytes_per_second"]))
    phases = {
        phase: {key: statistics.median(one[phase][key] for one in found) for key in found[0][phase]}
        for phase in found[0]
    }
    seconds = statistics.median(sum(phase["seconds"] for phase in one.values()) for one in found)
    times = {phase: ours["phases"][phase] / phases[phase]["seconds"] for phase in phases}
    return {"phases": phases, "seconds": seconds, "times_floor": {**times, "step": ours["seconds"] / seconds}}


def ragged(completions: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut completions to lengths that differ, so that masks and means of all arms are put to the test."""
    return [list(ids[: max(1, len(ids) - row % 4)]) for row, ids in enumerate(completions)]


def check_summary(answers: Mapping[str, Mapping[str, Any]], dtype: str) -> dict[str, Any]:
    """Compare what the arms made of the same completions and adapter weights.

    Returns:
        Each arm's losses (reverse KL in nats a token: over all tokens, and over rows first), and its differences
        from ours: of the losses, relative, and of the gradient, as the norm of the difference over the norm.

    Raises:
        UnswayedError: another prompt, or a difference that rounding does not explain; there is nothing to compare then.
    """
    mine = answers[OURS]
    loss_limit, gradient_limit = TOLERANCE[dtype]
    found: dict[str, Any] = {}
    for name, answer in answers.items():
        if answer["ids"] != mine["ids"]:
            raise UnswayedError(f"{TITLES[name]} does not read the same prompts as {TITLES[OURS]}")
        entry: dict[str, Any] = {kind: answer[kind] for kind in ("token_mean", "row_mean")}
        entry |= {
            f"{kind}_difference": abs(answer[kind] - mine[kind]) / abs(mine[kind])
            for kind in ("token_mean", "row_mean")
        }
        difference = np.linalg.norm(answer["gradient"] - mine["gradient"])
        entry["gradient_norm"] = float(np.linalg.norm(answer["gradient"]))
        entry["gradient_difference"] = float(difference / np.linalg.norm(mine["gradient"]))
        by_token, by_row = entry["token_mean_difference"], entry["row_mean_difference"]
        # Written so that a NaN fails.
        if not (by_token <= loss_limit and by_row <= loss_limit and entry["gradient_difference"] <= gradient_limit):
            raise UnswayedError(
                f"{TITLES[name]} does not compute what {TITLES[OURS]} computes: losses differ by {by_token:.1e} "
                f"(over rows {by_row:.1e}), gradients by {entry['gradient_difference']:.1e}; the limits are "
                f"{loss_limit:g} and {gradient_limit:g}. No time is reported"
            )
        found[name] = entry
    return {"dtype": dtype, "limits": {"loss": loss_limit, "gradient": gradient_limit}, "arms": found}
