"""One OPCT step: this library beside TRL's experimental SDFT trainer and beside a plain Transformers loop.

From the root of a checkout. Every arm is a process of its own; they take their steps alternately, on the same pairs,
and never two at a time. Writes opct_step.json and opct_step.svg. bench/README.md says what is measured.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import drawing
from bench.command import add_threads, finish, model_name, parser, positive
from bench.drawing import EDGE, LINE, SPACE, STEP, Bar
from bench.floor import Shape
from bench.race import Race
from bench.step.report import arm_summary, floor_summary, headline, ragged, ratios, table
from bench.step.work import ARMS, PHASES, TITLES, Work, arms_for, write_work_pairs
from bench.summary import OURS, TOLERANCE, agree, probe_summary
from unswayed.core.errors import UnswayedError
from unswayed.report.canvas import house_style
from unswayed.report.svg import arm_ink, ink
from unswayed.training.prepare import prepare

WARMUP = 1
RANK = 16
COLOURS = {"sample": 2, "teacher": 3, "learn": 1, "optim": 4, "other": 0}


def measure(work: Work, names: Sequence[str] | None) -> dict[str, Any]:
    """Run every arm and return what was measured, as plain data."""
    write_work_pairs(Path(work.data), work.pairs * work.steps)
    prepared = prepare(work.recipe)
    micro_batch = prepared.recipe.train.micro_batch
    with Race(arms_for(names, work.pairs, micro_batch), work, ARMS) as race:
        race.run(WARMUP)
        facts = race.arms[OURS].facts
        answers = race.check(ragged(race.arms[OURS].steps[-1]["completions"]))
        arms = {name: arm_summary(name, child, WARMUP) for name, child in race.arms.items()}
        probe = probe_summary(race.probe.steps)
    for name, answer in answers.items():
        if answer["ids"] != answers[OURS]["ids"]:
            raise UnswayedError(f"{TITLES[name]} does not read the same prompts as {TITLES[OURS]}")
    loss, gradient = TOLERANCE[facts["dtype"]]
    limits = {"token_mean": loss, "row_mean": loss, "gradient": gradient}
    return {
        "settings": {
            "model": model_name(prepared.source, work.model),
            "weights": prepared.model_identity,
            "parameters": facts["parameters"],
            "dtype": facts["dtype"],
            "pairs": work.pairs,
            "new_tokens": work.new_tokens,
            "rank": work.rank,
            "trainable": facts["shape"]["adapter"],
            "micro_batch": micro_batch,
            "threads": work.threads,
            "warmup": WARMUP,
            "steps": work.steps - WARMUP,
            "learning_rate": work.lr,
            "max_grad_norm": prepared.recipe.optim.max_grad_norm,
        },
        "arms": arms,
        "missing": race.missing,
        "ratios": ratios(arms),
        "probe": probe,
        "floor": floor_summary(Shape(**facts["shape"]), prepared.pairs, arms[OURS], WARMUP, work.pairs, probe),
        "check": agree(answers, TITLES, limits),
    }


@house_style()
def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: seconds by phase and memory, a bar for each arm. The floor is that of our arm's tokens."""
    arms, about, floor = drawing.ordered(result["arms"], TITLES), drawing.about_lines(headline(result)), result["floor"]
    top = EDGE + LINE * (2 + len(about))
    end = top + LINE + STEP * (len(arms) + 1)
    canvas = drawing.sheet("One OPCT step", about, end + SPACE + LINE + STEP * len(arms) + SPACE)
    least = {phase: entry["seconds"] for phase, entry in floor["phases"].items()}
    rows = [_bar(arm["title"], arm["phases"], arm["seconds"], [step["seconds"] for step in arm["steps"]])
            for arm in arms.values()]  # fmt: skip
    rows.append(_bar("floor", least, floor["seconds"], [], color="muted"))
    drawing.legend(canvas, top, {title: COLOURS[phase] for phase, title in PHASES.items()}, "a single step")
    longest = max([row.longest for row in rows] + [arm["seconds"] for arm in arms.values()])
    drawing.bars(canvas, top + LINE, rows, drawing.scale(canvas, top + LINE, end, longest, "s"))
    drawing.memory_bars(
        canvas, end + SPACE, "peak memory above the loaded model", arms, dict.fromkeys(arms, ink("muted"))
    )
    shown = ", ".join(f"{row.label} {row.value}" for row in rows)
    return drawing.file(canvas.svg("opct-step", f"One OPCT step: {headline(result)}. Median seconds a step: {shown}."))


def _bar(title: str, phases: Mapping[str, float], seconds: float, dots: Sequence[float], color: str = "ink") -> Bar:
    parts = [(phases.get(phase, 0.0), arm_ink(COLOURS[phase])) for phase in PHASES]
    return Bar(title, parts, f"{seconds:.2f} s", dots, color=color)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    made = parser("opct_step", __doc__, model=True)
    made.add_argument("--pairs", type=positive, default=16, metavar="N", help="pairs a step (%(default)s)")
    made.add_argument("--new-tokens", type=positive, default=24, metavar="N", help="longest completion (%(default)s)")
    made.add_argument(
        "--steps", type=positive, default=3, metavar="N", help=f"measured steps, after {WARMUP} warm-up (%(default)s)"
    )
    made.add_argument("--arms", nargs="+", metavar="ARM", help=f"only these besides ours: {', '.join(TITLES)}")
    add_threads(made)
    options = made.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            model=options.model,
            data=str(Path(folder) / "pairs.jsonl"),
            pairs=options.pairs,
            steps=WARMUP + options.steps,
            new_tokens=options.new_tokens,
            rank=RANK,
            threads=options.threads,
            dtype=options.dtype,
        )
        return finish("opct_step", options, lambda: measure(work, options.arms), table, draw)


if __name__ == "__main__":
    sys.exit(main())
