"""Decode speed: this library's sampler beside `transformers.generate`, with and without an adapter.

    python -m bench.sampler [--model NAME] [--rounds 2] [--threads N] [--quick] [--only PART ...] [--out DIR]

From the root of a checkout. Each arm is a process of its own; they decode the same prompts in turn and never two at a
time. Both draw at a temperature without truncation, and `generate` ends each row where ours ended, so that both draw
equally many tokens. A token counts when it is part of a completion; what is computed behind a row's end does not.
Writes sampler.json and sampler.svg.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.decode import summary
from bench.decode.chart import draw
from bench.decode.work import GENERATE, GREEDY, OURS, WORKLOADS, Order, Work, Workload
from bench.opct_step import RESULTS, positive, say
from bench.step import machine
from bench.step.floor import shape_of
from bench.step.race import Race
from bench.step.summary import probe_summary
from bench.step.worker import PROBE, Where
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.files import write_atomic, write_json
from unswayed.models import resolve

RANK = 16
GAP = {"float32": 1e-3, "float64": 1e-8, "bfloat16": 0.3}  # nats between two tokens that rounding may swap
ARMS: dict[str, Where] = {
    OURS: ("bench.decode.arms", {"way": OURS}),
    GENERATE: ("bench.decode.arms", {"way": GENERATE}),
    PROBE: ("bench.step.probe", {}),
}


def measure(work: Work) -> dict[str, Any]:
    """Run both arms over all workloads and return everything that was measured, as plain data."""
    before = machine.load()
    source = resolve(work.model)
    entries: list[dict[str, Any]] = []
    checks = {}
    with Race([OURS, GENERATE], work, say, ARMS) as race:
        vocabulary, dtype = (race.arms[OURS].facts[key] for key in ("vocabulary", "dtype"))
        for adapter in (False, True):
            facts = {name: race.arms[name].ask(Order("adapt")) for name in (OURS, GENERATE)} if adapter else {}
            for load in work.workloads:
                race.arms[PROBE].steps.append(race.arms[PROBE].ask(len(entries)))
                answers = take_turns(race, load, work.rounds)
                prompts = [len(ids) for ids in load.ids(vocabulary)]
                entries.append(summary.entry(load, prompts, answers, adapter))
                say(f"{load.name}, adapter {'on' if adapter else 'off'}: {entries[-1]['ratio']['rate']:.2f}")
            checks["with adapter" if adapter else "without adapter"] = greedy_check(race, vocabulary, dtype)
        probe = probe_summary(race.arms[PROBE].steps)
    adapted = shape_of(facts[OURS])
    rates = (probe["flops_per_second"], probe["bytes_per_second"])
    for entry, load in zip(entries, work.workloads * 2, strict=True):
        shape = adapted if entry["adapter"] else summary.without_adapter(adapted)
        prompts = [len(ids) for ids in load.ids(vocabulary)]
        entry["floor"] = summary.floor(shape, load, prompts, entry["lengths"], rates)
    return {
        "bench": "sampler",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {
            "model": source.path.name if source.kind in {"folder", "gguf"} else work.model,
            "parameters": facts[OURS]["parameters"],
            "dtype": dtype,
            "rank": work.rank,
            "threads": work.threads,
            "rounds": work.rounds,
        },
        "workloads": entries,
        "probe": probe,
        "check": checks,
    }


def take_turns(race: Race, load: Workload, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Let both arms decode a workload; ours goes first once, to say where rows end, and then every other round.

    Where rows end early, `generate` takes minutes and goes every other round only, between two of ours.
    """
    answers: dict[str, list[dict[str, Any]]] = {OURS: [], GENERATE: []}
    for number in range(rounds):
        names = [OURS, GENERATE] if number % 2 == 0 else [GENERATE, OURS]
        for name in [OURS] if load.stops and number % 2 else names:
            ends = answers[OURS][0]["lengths"] if answers[OURS] else ()
            answers[name].append(race.arms[name].ask(Order("run", load, lengths=ends)))
            if answers[name][-1]["lengths"] != answers[OURS][0]["lengths"]:
                raise UnswayedError(f"{load.name}: completions of {name} have other lengths than in our first round")
    return answers


def greedy_check(race: Race, vocabulary: int, dtype: str) -> dict[str, Any]:
    """Compare greedy completions of both arms.

    Raises:
        UnswayedError: two tokens differ that rounding could not have swapped.
    """
    ours, theirs = (race.arms[name].ask(Order("greedy", GREEDY))["completions"] for name in (OURS, GENERATE))
    gaps = []
    for prompt, mine, its in zip(GREEDY.ids(vocabulary), ours, theirs, strict=True):
        at = next((at for at, (one, other) in enumerate(zip(mine, its, strict=True)) if one != other), None)
        if at is not None:
            order = Order("gap", prefix=[*prompt, *mine[:at]], pair=(mine[at], its[at]))
            gaps.append(race.arms[OURS].ask(order)["gap"])
    if any(not gap <= GAP[dtype] for gap in gaps):
        raise UnswayedError(f"greedy tokens differ from generate's by {max(gaps):.1e} nats; no time is reported")
    largest = max(gaps, default=0.0)
    return {"rows": len(ours), "equal": len(ours) - len(gaps), "gaps": len(gaps), "largest_gap": largest}


def chosen(only: Sequence[str] | None, quick: bool) -> tuple[Workload, ...]:
    """Return the workloads that were asked for.

    Raises:
        ConfigError: none has such a name.
    """
    found = tuple(load for load in WORKLOADS if not only or any(part in load.name for part in only))
    if not found:
        raise ConfigError(f"--only {' '.join(only or ())}: the workloads are {'; '.join(x.name for x in WORKLOADS)}")
    return tuple(load.short() for load in found) if quick else found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sampler", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m", help="alias, folder, GGUF file or hub id")
    parser.add_argument("--rounds", type=positive, default=2, metavar="N", help="turns of each arm at each workload")
    parser.add_argument("--threads", type=positive, default=machine.physical_cores(), metavar="N")
    parser.add_argument("--dtype", default="auto", choices=("auto", *GAP), help="of the weights")
    parser.add_argument("--quick", action="store_true", help="one round of small workloads; nothing is written")
    parser.add_argument("--only", nargs="+", metavar="PART", help="workloads whose name contains one of these")
    parser.add_argument("--out", type=Path, help="folder of the results (bench/results)", metavar="DIR")
    options = parser.parse_args(argv)
    try:
        workloads = chosen(options.only, options.quick)
        work = Work(
            model=options.model,
            workloads=workloads,
            rounds=1 if options.quick else options.rounds,
            steps=2 * len(workloads),
            rank=RANK,
            threads=options.threads,
            dtype=options.dtype,
        )
        result = measure(work)
        out = options.out or RESULTS
        out.mkdir(parents=True, exist_ok=True)
    except (UnswayedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print(summary.table(result), flush=True)
    if options.out or not options.quick:
        write_json(out / "sampler.json", result)
        write_atomic(out / "sampler.svg", draw(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
