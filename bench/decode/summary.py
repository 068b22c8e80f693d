"""From what the arms said to plain data: medians, ratios, the floor, and the text for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.decode.work import GENERATE, OURS, TITLES, Workload
from bench.step.floor import Rows, Shape, sample_passes
from unswayed.report.numbers import count

Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def entry(load: Workload, prompts: Sequence[int], answers: Answers, adapter: bool) -> dict[str, Any]:
    """Return one workload's medians and ratio.

    Args:
        prompts: tokens of each prompt.
        answers: of each arm, one for each round.

    Returns:
        `ratio` is our rate over `generate`'s, that is its seconds over ours, since both draw equally many tokens.
        `lowest` and `highest` are of single rounds.
    """
    lengths = answers[OURS][0]["lengths"]
    arms = {}
    for name, rounds in answers.items():
        seconds = statistics.median(one["seconds"] for one in rounds)
        arms[name] = {
            "seconds": seconds,
            "tokens_per_second": sum(lengths) / seconds,
            "peak_above_ready": max(one["peak_above"] for one in rounds),
            "rounds": [one["seconds"] for one in rounds],
        }
    theirs = answers[GENERATE]
    # A round of ours that `generate` sat out is compared with its nearest.
    single = [
        theirs[min(number, len(theirs) - 1)]["seconds"] / mine["seconds"] for number, mine in enumerate(answers[OURS])
    ]
    return {
        "name": load.name,
        "adapter": adapter,
        "prompts": load.prompts,
        "completions_each": load.n,
        "prompt_tokens": sum(prompts),
        "tokens": sum(lengths),
        "mean_length": statistics.mean(lengths),
        "longest": max(lengths),
        "lengths": list(lengths),
        "arms": arms,
        "ratio": {
            "rate": arms[GENERATE]["seconds"] / arms[OURS]["seconds"],
            "lowest": min(single),
            "highest": max(single),
            "peak_above_ready": arms[OURS]["peak_above_ready"] / max(1, arms[GENERATE]["peak_above_ready"]),
        },
    }


def floor(
    shape: Shape, load: Workload, prompts: Sequence[int], lengths: Sequence[int], rates: tuple[float, float]
) -> dict[str, float]:
    """Return the least seconds for these tokens: every prompt once, then a pass for each further token of live rows.

    Args:
        rates: operations and bytes a second.
    """
    flops, bandwidth = rates
    (first,) = sample_passes(shape, Rows(prompts, load.prefix, [1] * len(prompts)))
    _, *decode = sample_passes(shape, Rows([length for length in prompts for _ in range(load.n)], load.prefix, lengths))
    passes = [first, *decode]
    return {
        "seconds": sum(max(one.flops / flops, one.bytes / bandwidth) for one in passes),
        "prefill_seconds": max(first.flops / flops, first.bytes / bandwidth),
        "flops_seconds": sum(one.flops for one in passes) / flops,
        "bytes_seconds": sum(one.bytes for one in passes) / bandwidth,
    }


def without_adapter(shape: Shape) -> Shape:
    """Return the same model bare."""
    return replace(shape, adapter=0)


def headline(result: Mapping[str, Any]) -> str:
    """Return what was decoded, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['model']}, {settings['dtype']}, {count(settings['threads'], 'thread')}, "
        f"adapter of rank {settings['rank']} where there is one, {result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> str:
    """Return everything that is worth reading at once."""
    return "\n".join(_lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    settings, machine, probe = result["settings"], result["machine"], result["probe"]
    yield f"Decoding: {headline(result)}"
    yield (
        f"{result['date']}; {machine['cores']} cores ({', '.join(machine['features']) or 'no known features'}), "
        f"{machine['memory_gib']} GiB, {machine['system']}, load before {machine['load_before']}; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    )
    yield f"medians of {count(settings['rounds'], 'round')}, arms alternating; tokens of completions a second"
    yield ""
    yield (
        f"{'':34}{'adapter':>8}{'tokens':>8}{TITLES[OURS]:>11}{TITLES[GENERATE]:>11}{'ratio':>7}{'rounds':>14}"
        f"{'of floor':>10}{'MiB':>7}{'MiB':>7}"
    )
    for one in result["workloads"]:
        ours, theirs, ratio = one["arms"][OURS], one["arms"][GENERATE], one["ratio"]
        yield (
            f"{one['name']:34}{'yes' if one['adapter'] else 'no':>8}{one['tokens']:>8}"
            f"{ours['tokens_per_second']:>11.1f}{theirs['tokens_per_second']:>11.1f}{ratio['rate']:>7.2f}"
            f"{ratio['lowest']:>7.2f} to {ratio['highest']:.2f}{ours['seconds'] / one['floor']['seconds']:>9.1f}x"
            f"{ours['peak_above_ready'] / 2**20:>7.0f}{theirs['peak_above_ready'] / 2**20:>7.0f}"
        )
    yield ""
    yield (
        f"machine in the same run: {probe['flops_per_second'] / 1e9:.0f} GFLOP/s in products of {settings['dtype']}, "
        f"{probe['bytes_per_second'] / 1e9:.1f} GB/s; MiB are the peak above the loaded model, ours and generate's"
    )
    for name, check in result["check"].items():
        yield (
            f"greedy tokens, {name}: {check['equal']} of {check['rows']} completions equal generate's"
            + (f"; where one differs, two tokens are {check['largest_gap']:.1e} nats apart" if check["gaps"] else "")
        )
