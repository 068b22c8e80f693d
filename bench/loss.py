"""The exact reverse KL: this library beside TRL's kernel, dense autograd and checkpointed chunks.

    python -m bench.loss [--tokens 1024] [--vocab 151936] [--width 896] [--dtype float32] [--rounds 3] [--out DIR]

From the root of a checkout. Every arm is a process of its own; they compute value and gradient alternately, never two
at a time. Writes loss.json and loss.svg. README.md in this folder says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.kl import summary
from bench.kl.chart import draw
from bench.kl.work import ARMS, OURS, TITLES, TRL, TRL_TRAINED, Work
from bench.opct_step import RESULTS, positive, say
from bench.step import machine
from bench.step.race import Race
from bench.step.summary import probe_summary
from bench.step.worker import PROBE
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.files import write_atomic, write_json

WARMUP = 1


def measure(work: Work, names: Sequence[str] | None) -> dict[str, Any]:
    """Run every arm and return everything that was measured, as plain data."""
    if unknown := [name for name in names or () if name not in TITLES]:
        raise ConfigError(f"arms {', '.join(unknown)}: there are {', '.join(TITLES)}")
    before = machine.load()
    wanted = [name for name in TITLES if names is None or name in {OURS, *names}]
    missing = {}
    if importlib.util.find_spec("trl") is None:
        missing = {name: "trl is not installed" for name in wanted if name in {TRL, TRL_TRAINED}}
    with Race([name for name in wanted if name not in missing], work, say, ARMS) as race:
        race.run(WARMUP)
        checked = summary.check_summary(race.check([]), work.dtype)
        children = {name: arm for name, arm in race.arms.items() if name != PROBE}
        arms = {name: summary.arm_summary(name, arm.facts, arm.steps, WARMUP) for name, arm in children.items()}
        probe = probe_summary(race.arms[PROBE].steps)
        head_bytes = children[OURS].facts["head_bytes"]
    return {
        "bench": "loss",
        "date": datetime.date.today().isoformat(),
        "machine": {**machine.describe(), "load_before": before},
        "versions": machine.versions(),
        "settings": {**work.settings, "warmup": WARMUP, "rounds": work.steps - WARMUP},
        "arms": arms,
        "missing": {**missing, **race.missing},
        "ratios": summary.ratios(arms),
        "probe": probe,
        "floor": summary.floor_summary(work, arms, probe, head_bytes),
        "check": checked,
    }


def headline(result: Mapping[str, Any]) -> str:
    """Return what was computed, and on what, as one line."""
    settings = result["settings"]
    return (
        f"{settings['tokens']:,} tokens x {settings['vocab']:,} words, width {settings['width']}, {settings['dtype']}, "
        f"{settings['threads']} threads, {result['machine']['cpu']}"
    )


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is worth reading at once."""
    yield f"Exact reverse KL and its gradient: {headline(result)}"
    yield f"medians of {result['settings']['rounds']} rounds, load before {result['machine']['load_before']}"
    yield f"{'':28}{'s':>8}{'forward':>9}{'over floor':>12}{'MiB above set-up':>18}{'gradient differs':>18}"
    for name, arm in result["arms"].items():
        check = result["check"]["arms"][name]
        yield (
            f"{arm['title']:28}{arm['seconds']:>8.2f}{arm['forward']:>9.2f}"
            f"{result['floor'][name]['times_floor']:>11.2f}x{arm['peak_above_ready'] / 2**20:>18.0f}"
            f"{check['gradient_difference']:>18.0e}"
        )
    probe = result["probe"]
    flops, rate = probe["flops_per_second"] / 1e9, probe["bytes_per_second"] / 1e9
    yield f"machine: {flops:.0f} GFLOP/s in products, {rate:.1f} GB/s"
    for name, entry in result["ratios"].items():
        yield (
            f"{TITLES[entry['ours']]} / {TITLES[name]}: {entry['seconds']:.2f} of the time (rounds "
            f"{entry['lowest']:.2f} to {entry['highest']:.2f}), {entry['peak_above_ready']:.2f} of the memory"
        )
    for name, reason in result["missing"].items():
        yield f"{TITLES[name]}: not run, {reason}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.loss", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=positive, default=1024, metavar="N")
    parser.add_argument("--vocab", type=positive, default=151_936, metavar="N")
    parser.add_argument("--width", type=positive, default=896, metavar="N")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float64"))
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help=f"measured, after {WARMUP} warm-up")
    parser.add_argument("--threads", type=positive, default=machine.physical_cores(), metavar="N")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help=f"only these besides ours: {', '.join(TITLES)}")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    work = Work(
        tokens=options.tokens, vocab=options.vocab, width=options.width, dtype=options.dtype,
        threads=options.threads, steps=WARMUP + options.rounds,
    )  # fmt: skip
    try:
        result = measure(work, options.arms)
        options.out.mkdir(parents=True, exist_ok=True)
    except (UnswayedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print("\n".join(table(result)), flush=True)
    write_json(options.out / "loss.json", result)
    write_atomic(options.out / "loss.svg", draw(result, headline(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
