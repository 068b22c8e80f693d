"""Decode speed: this library's sampler beside `transformers.generate`, with and without an adapter.

From the root of a checkout. Each arm is a process of its own; they decode the same prompts in turn and never two at a
time. Both draw at a temperature without truncation, and `generate` ends each row where ours ended, so that both draw
equally many tokens. A token counts when it is part of a completion; what is computed behind a row's end does not.
Writes sampler.json and sampler.svg.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench import machine
from bench.command import add_threads, finish, model_name, parser, positive
from bench.decode.work import GREEDY, WORKLOADS, Work, Workload
from bench.drawing import EDGE, LABELS, LINE, WIDTH, about_lines, file, legend, scale, sheet
from bench.floor import Rows, Shape, cost, sample_passes
from bench.race import Race, progress
from bench.summary import OURS, probe_line, probe_summary, ratio
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.models import resolve
from unswayed.report.canvas import SMALL, house_style
from unswayed.report.numbers import count
from unswayed.report.svg import arm_ink, ink

RANK = 16
GENERATE = "transformers"
TITLES = {OURS: "unswayed", GENERATE: "generate"}
COLOURS = {OURS: 1, GENERATE: 0}
BAR, STEP = 12.0, 40.0
GAP = {"float32": 1e-3, "float64": 1e-8, "bfloat16": 0.3}  # nats between two tokens that rounding may swap
ARMS = {name: ("bench.decode.arms", {"ours": name == OURS}) for name in TITLES}
Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def measure(work: Work) -> dict[str, Any]:
    """Run both arms over all workloads and return what was measured, as plain data."""
    source = resolve(work.model)
    entries: list[dict[str, Any]] = []
    checks = {}
    with Race(list(TITLES), work, ARMS) as race:
        vocabulary, dtype = (race.arms[OURS].facts[key] for key in ("vocabulary", "dtype"))
        for adapter in (False, True):
            facts = race.check(("adapt",)) if adapter else {}
            for load in work.workloads:
                race.probe.steps.append(race.probe.ask())
                prompts = [len(ids) for ids in load.ids(vocabulary)]
                entries.append(entry(load, prompts, take_turns(race, load, work.rounds), adapter))
                progress(f"{load.name}, adapter {'on' if adapter else 'off'}: {entries[-1]['ratio']['rate']:.2f}")
            checks["with adapter" if adapter else "without adapter"] = greedy_check(race, vocabulary, dtype)
        probe = probe_summary(race.probe.steps)
    shape = Shape(**facts[OURS]["shape"])
    for one, load in zip(entries, work.workloads * 2, strict=True):
        prompts = [len(ids) for ids in load.ids(vocabulary)]
        bare = shape if one["adapter"] else replace(shape, adapter=0)
        one["floor"] = floor(
            bare, load, prompts, one["lengths"], (probe["flops_per_second"], probe["bytes_per_second"])
        )
    return {
        "settings": {
            "model": model_name(source, work.model),
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
            answers[name].append(race.arms[name].ask(("draw", load, ends)))
            if answers[name][-1]["lengths"] != answers[OURS][0]["lengths"]:
                raise UnswayedError(f"{load.name}: completions of {name} have other lengths than in our first round")
    return answers


def greedy_check(race: Race, vocabulary: int, dtype: str) -> dict[str, Any]:
    """Compare greedy completions of both arms.

    Raises:
        UnswayedError: two tokens differ that rounding could not have swapped.
    """
    ours, theirs = (answer["completions"] for answer in race.check(("greedy", GREEDY)).values())
    gaps = []
    for prompt, mine, its in zip(GREEDY.ids(vocabulary), ours, theirs, strict=True):
        at = next((at for at, (one, other) in enumerate(zip(mine, its, strict=True)) if one != other), None)
        if at is not None:
            gaps.append(race.arms[OURS].ask(("gap", [*prompt, *mine[:at]], (mine[at], its[at])))["gap"])
    if any(not gap <= GAP[dtype] for gap in gaps):
        raise UnswayedError(f"greedy tokens differ from generate's by {max(gaps):.1e} nats; no time is reported")
    largest = max(gaps, default=0.0)
    return {"rows": len(ours), "equal": len(ours) - len(gaps), "gaps": len(gaps), "largest_gap": largest}


def entry(load: Workload, prompts: Sequence[int], answers: Answers, adapter: bool) -> dict[str, Any]:
    """Return one workload's medians and ratio.

    Args:
        prompts: tokens of each prompt.
        answers: of each arm, one for each round.

    Returns:
        `ratio` is our rate over `generate`'s, that is its seconds over ours, since both draw equally many tokens.
    """
    lengths = answers[OURS][0]["lengths"]
    seconds = {name: [one["seconds"] for one in rounds] for name, rounds in answers.items()}
    above = {name: max(one["peak_above"] for one in rounds) for name, rounds in answers.items()}
    inverse = ratio(seconds[OURS], seconds[GENERATE])
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
        "arms": {
            name: {
                "seconds": statistics.median(rounds),
                "tokens_per_second": sum(lengths) / statistics.median(rounds),
                "peak_above_ready": above[name],
                "rounds": rounds,
            }
            for name, rounds in seconds.items()
        },
        "ratio": {
            "rate": 1 / inverse["seconds"],
            "lowest": 1 / inverse["highest"],
            "highest": 1 / inverse["lowest"],
            "peak_above_ready": above[OURS] / max(1, above[GENERATE]),
        },
    }


def floor(
    shape: Shape, load: Workload, prompts: Sequence[int], lengths: Sequence[int], rates: tuple[float, float]
) -> dict[str, float]:
    """Return the least seconds for these tokens: every prompt once, then a pass for each further token of live rows.

    Args:
        rates: operations and bytes a second.
    """
    (first,) = sample_passes(shape, Rows(prompts, load.prefix, [1] * len(prompts)))
    _, *decode = sample_passes(shape, Rows([length for length in prompts for _ in range(load.n)], load.prefix, lengths))
    return {**cost([first, *decode], *rates), "prefill_seconds": cost([first], *rates)["seconds"]}


def headline(result: Mapping[str, Any]) -> str:
    """Return what was decoded, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['model']}, {settings['dtype']}, {count(settings['threads'], 'thread')}, "
        f"adapter of rank {settings['rank']} where there is one, {result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the result as text."""
    yield f"Decoding: {headline(result)}"
    yield machine.line(result)
    yield f"medians of {count(result['settings']['rounds'], 'round')}, arms alternating; tokens of completions a second"
    yield ""
    yield (
        f"{'':34}{'adapter':>8}{'tokens':>8}{TITLES[OURS]:>11}{TITLES[GENERATE]:>11}{'ratio':>7}{'rounds':>14}"
        f"{'of floor':>10}{'MiB':>7}{'MiB':>7}"
    )
    for one in result["workloads"]:
        ours, theirs, rate = one["arms"][OURS], one["arms"][GENERATE], one["ratio"]
        yield (
            f"{one['name']:34}{'yes' if one['adapter'] else 'no':>8}{one['tokens']:>8}"
            f"{ours['tokens_per_second']:>11.1f}{theirs['tokens_per_second']:>11.1f}{rate['rate']:>7.2f}"
            f"{rate['lowest']:>7.2f} to {rate['highest']:.2f}{ours['seconds'] / one['floor']['seconds']:>9.1f}x"
            f"{ours['peak_above_ready'] / 2**20:>7.0f}{theirs['peak_above_ready'] / 2**20:>7.0f}"
        )
    yield ""
    yield f"{probe_line(result)}; MiB are the peak above the loaded model, ours and generate's"
    for name, check in result["check"].items():
        yield (
            f"greedy tokens, {name}: {check['equal']} of {check['rows']} completions equal generate's"
            + (f"; where one differs, two tokens are {check['largest_gap']:.1e} nats apart" if check["gaps"] else "")
        )


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: tokens a second, two bars for each workload, single rounds as dots, the floor as a line."""
    about, loads = about_lines(headline(result)), result["workloads"]
    top = EDGE + LINE * (2 + len(about))
    bottom = top + LINE + STEP * len(loads)
    canvas = sheet("Decoding: tokens of completions a second", about, bottom + 2 * LINE)
    least = [one["tokens"] / one["floor"]["seconds"] for one in loads]
    single = [one["tokens"] / min(arm["rounds"]) for one in loads for arm in one["arms"].values()]
    at = scale(canvas, top + LINE, bottom, max([*least, *single]), "tokens/s")
    legend(
        canvas, top, {TITLES[name]: colour for name, colour in COLOURS.items()}, "a single round", size=4, floor=True
    )
    for place, (one, best) in enumerate(zip(loads, least, strict=True)):
        y = top + LINE + STEP * place + 7
        canvas.text(LABELS - 8, y + BAR - 2, one["name"], align="right", size=SMALL)
        kind = "with adapter" if one["adapter"] else "without adapter"
        canvas.text(LABELS - 8, y + 2 * BAR, kind, align="right", color="muted", size=SMALL)
        for row, (name, arm) in enumerate((name, one["arms"][name]) for name in COLOURS):
            low = y + row * (BAR + 1)
            canvas.box(at(0), low, at(arm["tokens_per_second"]) - at(0), BAR, arm_ink(COLOURS[name]), kind="data")
            for seconds in arm["rounds"]:
                canvas.mark(at(one["tokens"] / seconds), low + BAR / 2, 0, ink("ink"), size=4, kind="data")
        canvas.line([at(best)] * 2, [y - 2, y + 2 * BAR + 3], ink("ink"), kind="data")
        canvas.text(WIDTH - EDGE, y + BAR + 4, f"{one['ratio']['rate']:.2f}x", align="right")
    shown = ", ".join(
        f"{one['name']} {'with' if one['adapter'] else 'without'} adapter {one['ratio']['rate']:.2f}" for one in loads
    )
    return file(canvas.svg("sampler", f"Decoding: {headline(result)}. Our rate over generate's: {shown}."))


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
    made = parser("sampler", __doc__, model=True)
    made.add_argument(
        "--rounds", type=positive, default=2, metavar="N", help="rounds of each arm at each workload (%(default)s)"
    )
    made.add_argument("--quick", action="store_true", help="one round of small workloads; writes only with --out")
    made.add_argument("--only", nargs="+", metavar="PART", help="workloads whose name contains one of these")
    add_threads(made)
    options = made.parse_args(argv)

    def run() -> dict[str, Any]:
        loads, rounds = chosen(options.only, options.quick), 1 if options.quick else options.rounds
        return measure(Work(options.model, loads, rounds, RANK, options.threads, options.dtype))

    return finish("sampler", options, run, table, draw, write=options.out is not None or not options.quick)


if __name__ == "__main__":
    sys.exit(main())
