"""From the answers of the arms to the result of a step: medians, ratios, floor; and the text for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import machine
from bench.drawing import ordered
from bench.floor import Rows, Shape, floor
from bench.race import Child
from bench.step.work import PHASES, PLAIN, TITLES, TRLS
from bench.summary import OURS, memory, probe_line, ratio
from unswayed.core.types import TokenizedPair
from unswayed.engine.batching import common_prefix
from unswayed.report.numbers import count


def arm_summary(name: str, child: Child, warmup: int) -> dict[str, Any]:
    """Return one arm's medians over the measured steps, beside every step."""
    steps = [_step(step) for step in child.steps]
    measured = steps[warmup:]
    return {
        "title": TITLES[name],
        "seconds": statistics.median(step["seconds"] for step in measured),
        "seconds_per_token": statistics.median(step["seconds"] / step["tokens"] for step in measured),
        "phases": {phase: statistics.median(step["phases"][phase] for step in measured) for phase in PHASES},
        "tokens": statistics.median(step["tokens"] for step in measured),
        "mean_length": statistics.mean(length for step in measured for length in step["lengths"]),
        "weight_bytes": child.facts["weight_bytes"],
        **memory(child),
        "warmup": steps[:warmup],
        "steps": measured,
    }


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    lengths = [len(ids) for ids in step["completions"]]
    phases = {phase: step["phases"].get(phase, 0.0) for phase in PHASES}
    return {"seconds": step["seconds"], "phases": phases, "tokens": sum(lengths), "lengths": lengths}


def ratios(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ours over TRL's fastest variant and over the plain loop, as far as they ran: below 1 ours is less."""
    found = {}
    for key, names in (("trl", TRLS), ("transformers", (PLAIN,))):
        there = [name for name in names if name in arms]
        if there:
            fastest = min(there, key=lambda name: arms[name]["seconds"])
            ours, other = arms[OURS], arms[fastest]
            rounds = ([step["seconds"] for step in arm["steps"]] for arm in (ours, other))
            rest = {part: ours[part] / other[part] for part in ("seconds_per_token", "peak_above_ready")}
            found[key] = {"arm": fastest, **ratio(*rounds), **rest}
    return found


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
    """Cut completions to lengths that differ, so that the check covers masks and means."""
    return [list(ids[: max(1, len(ids) - row % 4)]) for row, ids in enumerate(completions)]


def headline(result: Mapping[str, Any]) -> str:
    """Return what the step was, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['model']}, {count(settings['pairs'], 'pair')}, at most {settings['new_tokens']} new tokens, "
        f"LoRA rank {settings['rank']}, {settings['dtype']}, {count(settings['threads'], 'thread')}, "
        f"{result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the result as text."""
    settings, arms, floors = result["settings"], ordered(result["arms"], TITLES), result["floor"]
    yield f"One OPCT step: {headline(result)}"
    yield machine.line(result)
    yield f"medians of {count(settings['steps'], 'step')} after {settings['warmup']} warm-up, arms alternating"
    yield ""
    head = "".join(f"{title:>14}" for title in PHASES.values())
    yield f"{'':26}{'s/step':>8}{'ms/token':>10}{'tokens':>8}{head}{'peak MiB':>10}{'above ready':>12}"
    for arm in arms.values():
        phases = "".join(f"{arm['phases'][phase]:>14.2f}" for phase in PHASES)
        peak, above = arm["peak_rss"] / 2**20, arm["peak_above_ready"] / 2**20
        note = "  (peak counts loading)" if arm["peak_includes_loading"] else ""
        yield (
            f"{arm['title']:26}{arm['seconds']:>8.2f}{1000 * arm['seconds_per_token']:>10.1f}{arm['tokens']:>8.0f}"
            f"{phases}{peak:>10.0f}{above:>12.0f}{note}"
        )
    known = [phase for phase in PHASES if phase in floors["phases"]]
    least = "".join(f"{floors['phases'][phase]['seconds']:>14.2f}" for phase in known)
    yield f"{'floor of our tokens':26}{floors['seconds']:>8.2f}{'':18}{least}"
    times = "".join(f"{floors['times_floor'][phase]:>13.1f}x" for phase in known)
    yield f"{'ours over the floor':26}{floors['times_floor']['step']:>7.1f}x{'':18}{times}"
    yield f"{probe_line(result)}; weights {arms[OURS]['weight_bytes'] / 2**20:.0f} MiB"
    yield ""
    for against in result["ratios"].values():
        yield (
            f"ours / {TITLES[against['arm']]}: {against['seconds']:.2f} of the time (rounds {against['lowest']:.2f} to "
            f"{against['highest']:.2f}), {against['seconds_per_token']:.2f} of the time a token, "
            f"{against['peak_above_ready']:.2f} of the memory above the ready model"
        )
    for name, reason in result["missing"].items():
        yield f"{TITLES[name]}: not run, {reason}"
    yield "same completions, same adapter (reverse KL in nats a token; differences from ours, relative):"
    for name, entry in ordered(result["check"]["arms"], TITLES).items():
        yield (
            f"  {TITLES[name]:26}{entry['token_mean']:.6f} over tokens ({entry['token_mean_difference']:.0e}), "
            f"{entry['row_mean']:.6f} over rows ({entry['row_mean_difference']:.0e}), "
            f"gradient {entry['gradient_norm']:.4f} ({entry['gradient_difference']:.0e})"
        )
