"""`unswayed train`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unswayed.cli.options import DryRun, Json, Trust, echo, print_json, shows_progress
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from unswayed.training.prepare import Prepared

OFTEN = {0: "never", 1: "once", 2: "twice"}


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML.", metavar="RECIPE.toml")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field, e.g. --set optim.lr=2e-5. Repeatable.", metavar="A.B=C"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest valid checkpoint, also to more steps than before.")
    ] = False,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Go on, or begin where there is no run yet: for jobs that run again.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier run of this name left.")] = False,
    dry_run: DryRun = False,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Train an adapter. The result is a plain PEFT folder in the run's folder.

    Example: unswayed train recipes/opct.toml --set optim.lr=2e-5
    On several GPUs: torchrun --nproc-per-node 8 -m unswayed train recipes/opct.toml
    """
    from unswayed.config.recipe import Recipe
    from unswayed.core.launcher import is_main
    from unswayed.training.probes import probes_of, summary_lines

    loaded = Recipe.load(recipe, set=set_ or ())
    if resume and auto_resume:
        raise ConfigError("give either --resume or --auto-resume, not both")
    go_on: bool | Literal["auto"] = "auto" if auto_resume else resume
    if dry_run:
        from unswayed.training.prepare import prepare
        from unswayed.training.run_folder import RunState

        if not is_main():
            return
        prepared = prepare(loaded, trust_remote_code=trust_remote_code)
        probes = {probe.suite.name: f"{len(probe.suite.samples)} prompts" for probe in probes_of(loaded)}
        lengths = sorted(len(pair.prompt_ids) for pair in prepared.pairs)
        plan = {
            "run": str(loaded.run_dir),
            "method": loaded.method.name,
            "model": prepared.source.id,
            "pairs": len(prepared.pairs),
            "steps": prepared.steps,
            "rows": _rows(prepared),
            "student prompt tokens": {"median": lengths[len(lengths) // 2], "longest": lengths[-1]},
            **({"probes": probes} if probes else {}),
        }
        if json:
            print_json(plan)
        else:
            echo("\n".join(f"{key:22} {value}" for key, value in plan.items()))
        RunState(loaded.run_dir, prepared).check(resume=go_on, fresh=fresh)
        return

    from unswayed.training.loop import train as run_recipe

    shown = shows_progress()
    run = run_recipe(loaded, resume=go_on, fresh=fresh, progress=shown, trust_remote_code=trust_remote_code)
    if not is_main():
        return
    if json:
        print_json({"run": str(run.path), "adapter": str(run.adapter), "steps": run.steps})
        return
    last = run.metrics()[-1]
    echo(f"{run.steps} steps done; last loss {last['loss']:.4f}")
    echo(f"adapter  {run.adapter}")
    echo(f"metrics  {run.path / 'metrics.jsonl'}")
    for line in summary_lines(run.probes()):
        echo(line)


def _rows(prepared: Prepared) -> str:
    """Return how many rows the run trains on and how often each pair comes, as a line of the plan."""
    rows, pairs = prepared.rows, len(prepared.pairs)
    times, more = divmod(rows, pairs)
    often = [
        f"{count} pairs {OFTEN.get(n, f'{n} times')}"
        for count, n in ((more, times + 1), (pairs - more, times))
        if count
    ]
    last = len(prepared.pairs_of(prepared.steps - 1)) - prepared.recipe.train.anchors_per_step
    short = f", the last {last}" if last < prepared.recipe.train.pairs_per_step else ""
    return f"{rows}, {prepared.recipe.train.pairs_per_step} a step{short}: {', '.join(often)}"
