"""`unswayed preflight`: predict what a training will amplify, sealed before it and scored after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unswayed.cli.options import Json, default_command, echo, print_json, shows_progress

_RUN = "run"


app = typer.Typer(
    cls=default_command("run"),
    no_args_is_help=True,
    help="Predict what a training will do to a behaviour, before it and from candidates alone; score it afterwards.",
)
Judge = Annotated[
    str | None, typer.Option("--judge", metavar="SPEC", help="Who scores where the suite has a rubric and no rule can.")
]
Library = Annotated[
    Path | None, typer.Option("--library", help="Outcomes of earlier predictions; by default library.jsonl beside DIR.")
]


@app.command(_RUN)
def run(
    recipe: Annotated[Path, typer.Argument(help="A training recipe, or a label recipe.", metavar="RECIPE.toml")],
    behaviour: Annotated[
        str, typer.Option("--behaviour", metavar="SUITE", help="A suite, e.g. organisms/sycophancy, or NAME:FILE.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the preflight.", metavar="DIR")],
    limit: Annotated[int | None, typer.Option(min=2, help="Units of the suite, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides which prompts are drawn.")] = 0,
    pool: Annotated[int, typer.Option(min=1, help="Candidates a prompt.")] = 8,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the whole policy at temperature 1, a prompt.")] = 8,
    eps: Annotated[float, typer.Option(help="The change of a rate that matters; decide it by severity.")] = 0.05,
    runs: Annotated[Path | None, typer.Option(help="Where the run will lie; by default the recipe's save.dir.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe. Repeatable.", metavar="A.B=C")
    ] = None,
    judge: Judge = None,
    library: Library = None,
    json: Json = False,
) -> None:
    """Predict what a training will do to a behaviour, and seal it. The same command goes on where it stopped.

    Ends with 11 where the prediction is UNDECIDED. Example:
    unswayed preflight recipes/bct.toml --behaviour organisms/sycophancy -o preflight/bct
    """
    from unswayed.audit.preflight.run import Settings, preflight, read_recipe

    settings = Settings(limit, seed, pool, draws, eps)
    found = preflight(
        read_recipe(recipe, set_), behaviour, out, settings=settings, judge=_judge(judge), runs=runs, books=library,
        shown=shows_progress(),
    )  # fmt: skip
    if json:
        print_json(found)
    else:
        echo("\n".join(_prediction(found)))
    if found["verdict"] == "UNDECIDED":
        raise typer.Exit(11)


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(help="Folder of a preflight.", metavar="DIR")],
    trained: Annotated[Path, typer.Argument(help="The finished run.", metavar="RUN")],
    judge: Judge = None,
    library: Library = None,
    json: Json = False,
) -> None:
    """Score a sealed prediction: ask the trained model, fill in fit and generalisation, and add to the library.

    Example: unswayed preflight score preflight/bct runs/bct
    """
    from unswayed.audit.preflight.run import score_run

    found = score_run(folder, trained, judge=_judge(judge), books=library, shown=shows_progress())
    if json:
        print_json(found)
    else:
        echo("\n".join(_scored(found)))


def _judge(spec: str | None) -> Any:
    if spec is None:
        return None
    from unswayed.judges.build import build_judge, default_cache

    return build_judge(spec, cache=None if spec == "rule" else default_cache())


def _prediction(found: dict[str, Any]) -> list[str]:
    change, shift = found["change"], found["label_shift"]
    within = f" within {found['eps']:g}" if found["verdict"] == "NEUTRAL" else ""
    lines = [
        f"{found['verdict']}{within}  {found['family']}",
        _line("expected", change["expected"], change["interval"]),
    ]
    lines += [_line("one run", None, change["one_run"]), _line("label shift", shift["estimate"], shift["interval"])]
    lines += [_line(f"  {name}", term["estimate"], term["interval"]) for name, term in found["parts"].items()]
    lines += [
        f"{found['dominates']} dominates; {found['prompts']:,} training prompts, {found['known']:,} known outcomes"
    ]
    if found["lever"]:
        lines.append(f"lever: {found['lever']} would make the label shift {found['levers'][found['lever']]:+.3f}")
    if found["verdict"] == "UNDECIDED":
        more = found["needed"]
        lines.append(
            f"about {more:,} training prompts would decide"
            if more
            else "no number of prompts decides; known outcomes may"
        )
    lines += [f"left out: {count:,} prompts, {why}" for why, count in found["left_out"].items()]
    lines += [f"unscored: {count:,} of {name}" for name, count in found["unscored"].items()]
    return [*lines, f"sealed {found['seal'][:16]}; begin the run now"]


def _scored(found: dict[str, Any]) -> list[str]:
    right = {True: "right", False: "wrong", None: "not decided"}[found["right"]]
    lines = [f"predicted {found['predicted']}, happened {found['happened']}: {right}"]
    lines += [_line(name, term["estimate"], term["interval"]) for name, term in found["terms"].items()]
    return [*lines, *found["notes"]]


def _line(name: str, value: float | None, limits: Any) -> str:
    number = "" if value is None else f"{value:+.4f}"
    return f"{name:15}{number:>9}  {'' if limits is None else f'[{limits[0]:+.4f}, {limits[1]:+.4f}]'}".rstrip()
