"""`unswayed demo`: the whole idea on a small real model, on a CPU, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unswayed.cli.options import Json, print_json, shows_progress


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for runs, evaluations and the report.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of split, hints, training and draws.", min=0)] = 0,
    steps: Annotated[int, typer.Option(help="Optimizer steps of each trained arm.", min=1)] = 16,
    questions: Annotated[int, typer.Option(help="Questions in each of the three sets.", min=8)] = 36,
    as_json: Json = False,
) -> None:
    """Train a 135M-parameter model to ignore a hint, beside fine-tuning, and show what changed.

    The same command again goes on where it stopped.

    Example: unswayed demo
    """
    from rich.console import Console

    from unswayed.core.signals import stop_signals
    from unswayed.demo import run_demo
    from unswayed.report.records import to_json
    from unswayed.report.terminal import result_table

    with stop_signals:
        report = run_demo(out, seed=seed, steps=steps, questions=questions, progress=shows_progress())
    if as_json:
        print_json(to_json(report))
        return
    console = Console()
    console.print()
    console.print(result_table(report, width=console.width))
    for sentence in report.lead:
        console.print(sentence, markup=False, highlight=False)
    console.print()
    console.print(f"report    {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"numbers   {out / 'report.json'}", markup=False, highlight=False, soft_wrap=True)
    for arm in ("sft", "opct"):
        console.print(f"{arm:9} {out / 'runs' / arm / 'adapter'}", markup=False, highlight=False, soft_wrap=True)
