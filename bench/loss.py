"""The exact reverse KL: this library beside TRL's kernel, dense autograd and checkpointed chunks.

From the root of a checkout. Every arm is a process of its own; they compute value and gradient alternately, never two
at a time. Writes loss.json and loss.svg. bench/README.md says what is measured.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import machine
from bench.command import add_threads, finish, parser, positive
from bench.drawing import EDGE, LINE, SPACE, STEP, Bar, about_lines, bars, file, memory_bars, ordered, scale, sheet
from bench.kl.work import ARMS, PRODUCTS, TITLES, Work
from bench.race import Child, Race, choose
from bench.summary import OURS, TOLERANCE, agree, memory, probe_line, probe_summary, ratio
from unswayed.report.canvas import house_style
from unswayed.report.numbers import count
from unswayed.report.svg import arm_ink

WARMUP = 1


def measure(work: Work, names: Sequence[str] | None) -> dict[str, Any]:
    """Run every arm and return what was measured, as plain data."""
    value, gradient = TOLERANCE[work.dtype]
    with Race(choose(names, list(TITLES), OURS), work, ARMS) as race:
        race.run(WARMUP)
        checked = agree(race.check(), TITLES, {"value": value, "gradient": gradient})
        arms = {name: arm_summary(name, child) for name, child in race.arms.items()}
        probe = probe_summary(race.probe.steps)
        head_bytes = race.arms[OURS].facts["head_bytes"]
    return {
        "settings": {**work.settings, "warmup": WARMUP, "rounds": work.steps - WARMUP},
        "arms": arms,
        "missing": race.missing,
        "ratios": ratios(arms),
        "probe": probe,
        "floor": {name: floor(work, arm["seconds"], probe, head_bytes) for name, arm in arms.items()},
        "check": checked,
    }


def arm_summary(name: str, child: Child) -> dict[str, Any]:
    """Return one arm's medians over the measured rounds."""
    measured = child.steps[WARMUP:]
    return {
        "title": TITLES[name],
        "seconds": statistics.median(step["seconds"] for step in measured),
        "forward": statistics.median(step["forward"] for step in measured),
        "rounds": [step["seconds"] for step in measured],
        **memory(child),
    }


def ratios(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ours over each other arm: below 1 ours is less."""
    ours, found = arms[OURS], {}
    for name, other in arms.items():
        if name != OURS:
            above = ours["peak_above_ready"] / max(other["peak_above_ready"], 1)
            found[name] = {**ratio(ours["rounds"], other["rounds"]), "peak_above_ready": above}
    return found


def floor(work: Work, seconds: float, probe: Mapping[str, float], head_bytes: int) -> dict[str, float]:
    """Return the least seconds of an arm's products, each with a walk through the head, and the arm's distance."""
    flops = PRODUCTS * 2.0 * work.tokens * work.vocab * work.width
    least = max(flops / probe["flops_per_second"], PRODUCTS * head_bytes / probe["bytes_per_second"])
    return {"flops": flops, "seconds": least, "times_floor": seconds / least}


def headline(result: Mapping[str, Any]) -> str:
    """Return what was computed, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['tokens']:,} tokens x {settings['vocab']:,} words, width {settings['width']}, {settings['dtype']}, "
        f"{count(settings['threads'], 'thread')}, {result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the result as text."""
    yield f"Exact reverse KL and its gradient: {headline(result)}"
    yield machine.line(result)
    yield f"medians of {count(result['settings']['rounds'], 'round')}, arms alternating"
    yield f"{'':28}{'s':>8}{'forward':>9}{'over floor':>12}{'MiB above set-up':>18}{'gradient differs':>18}"
    for name, arm in ordered(result["arms"], TITLES).items():
        check = result["check"]["arms"][name]
        yield (
            f"{arm['title']:28}{arm['seconds']:>8.2f}{arm['forward']:>9.2f}"
            f"{result['floor'][name]['times_floor']:>11.2f}x{arm['peak_above_ready'] / 2**20:>18.0f}"
            f"{check['gradient_difference']:>18.0e}"
        )
    yield probe_line(result)
    for name, entry in ordered(result["ratios"], TITLES).items():
        yield (
            f"ours / {TITLES[name]}: {entry['seconds']:.2f} of the time (rounds "
            f"{entry['lowest']:.2f} to {entry['highest']:.2f}), {entry['peak_above_ready']:.2f} of the memory"
        )
    for name, reason in result["missing"].items():
        yield f"{TITLES[name]}: not run, {reason}"


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: seconds and memory, a bar for each arm, with the floor of its products as a line."""
    arms, about = ordered(result["arms"], TITLES), headline(result)
    lines = about_lines(about)
    top = EDGE + LINE * (2 + len(lines))
    end = top + STEP * len(arms) + 6
    canvas = sheet("Exact reverse KL and its gradient", lines, end + 2 * SPACE + LINE + STEP * len(arms))
    colours = {name: arm_ink(1 if name == OURS else 0) for name in arms}
    rows = [
        Bar(arm["title"], [(arm["seconds"], colours[name])], f"{arm['seconds']:.2f} s", arm["rounds"],
            floor=result["floor"][name]["seconds"])
        for name, arm in arms.items()
    ]  # fmt: skip
    bars(canvas, top, rows, scale(canvas, top, end, max(max(row.dots) for row in rows), "s"))
    memory_bars(canvas, end + SPACE, "peak memory above set-up", arms, colours)
    shown = ", ".join(f"{row.label} {row.value}" for row in rows)
    return file(canvas.svg("loss", f"Exact reverse KL, {about}. Median seconds: {shown}."))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    made = parser("loss", __doc__)
    for name, default, of in (
        ("tokens", 1024, "tokens of the batch"), ("vocab", 151_936, "words"), ("width", 896, "width of hidden states")
    ):  # fmt: skip
        made.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=f"{of} (%(default)s)")
    made.add_argument("--dtype", default="float32", choices=tuple(TOLERANCE), help="of states and head (%(default)s)")
    made.add_argument(
        "--rounds", type=positive, default=3, metavar="N", help=f"measured, after {WARMUP} warm-up (%(default)s)"
    )
    made.add_argument("--arms", nargs="+", metavar="ARM", help=f"only these besides ours: {', '.join(TITLES)}")
    add_threads(made)
    options = made.parse_args(argv)
    work = Work(
        tokens=options.tokens, vocab=options.vocab, width=options.width, dtype=options.dtype,
        threads=options.threads, steps=WARMUP + options.rounds,
    )  # fmt: skip
    return finish("loss", options, lambda: measure(work, options.arms), table, draw)


if __name__ == "__main__":
    sys.exit(main())
