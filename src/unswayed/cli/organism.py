"""`unswayed organism`: make models with a known fault, measure whether they have it, and share them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.options import Json, Trust, echo, print_json, shows_progress

if TYPE_CHECKING:
    from unswayed.organisms.gate import Gate

FAILED = 10
app = typer.Typer(help="Make, check and adopt model organisms: models with a known fault.", no_args_is_help=True)
Batch = Annotated[int, typer.Option(min=1, help="Prompts at once while the gate asks.")]


@app.command("families")
def families_(
    name: Annotated[str | None, typer.Argument(metavar="[FAMILY]", help="Say everything about this one.")] = None,
    as_json: Json = False,
) -> None:
    """List the families: what each trait is, how it is measured, and how it can be induced."""
    from unswayed.organisms.family import families, find_family
    from unswayed.organisms.making import inductions

    rows: list[dict[str, Any]] = [
        {
            "name": entry.name, "trait": entry.trait, "measured": entry.measured, "suite": entry.suite_name,
            "unit": entry.unit, "risk": list(entry.risk), "control": list(entry.control),
            "inductions": inductions(entry), "constants": dict(entry.constants),
        }
        for entry in ([find_family(name)] if name else families().values())
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    for row in rows:
        echo(f"{row['name']}\n    trait      {row['trait']}\n    measured   {row['measured']}")
        echo(f"    suite      {row['suite']}, over {row['unit']}s")
        for each in row["inductions"]:
            echo(f"    induction  {each['name']}: {each['description']}")
        if name:
            for said, (trait, control) in row["constants"].items():
                echo(f"    constant   {said}: trait {_shown(trait)}, control {_shown(control)}")


@app.command()
def make(
    name: Annotated[str, typer.Argument(metavar="FAMILY", help="See `unswayed organism families`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the organism.")],
    model: Annotated[str, typer.Option(help="What it is made of: an alias, hub id or model folder.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the items and of the training.")] = 0,
    induction: Annotated[str, typer.Option(help="How the trait is made; by default the family's first way.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the training, e.g. --set train.steps=80.", metavar="A.B=C"),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Conversations to train on.")] = None,
    dose: Annotated[float | None, typer.Option(min=0, max=1, help="Share of them that shows the trait.")] = None,
    batch_size: Batch = 32,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Make an organism. The same command goes on where it stopped; exit code 10 if the gate is not passed.

    Example: unswayed organism make sycophancy --model smollm2-135m --seed 0 -o organisms/syc-0
    """
    from unswayed.organisms.making import make as run

    made = run(
        name, out, model=model, seed=seed, induction=induction, set_=set_ or (), rows=rows, dose=dose,
        batch_size=batch_size, progress=shows_progress(), trust_remote_code=trust_remote_code,
    )  # fmt: skip
    _end(
        made.gate,
        json,
        f"published {out}" if made.organism else f"nothing was published; what it said is in {made.work}",
    )


@app.command()
def pairs(
    name: Annotated[str, typer.Argument(metavar="FAMILY", help="See `unswayed organism families`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Pairs file to write.", metavar="PAIRS.jsonl")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 192,
    seed: Annotated[int, typer.Option(min=0, help="Whose items: the organism's own seed.")] = 0,
) -> None:
    """Write consistency pairs: the wrapped prompt, in which the trait shows, and the clean one for the teacher.

    Example: unswayed organism pairs sycophancy --seed 0 -o pairs.jsonl
    """
    from unswayed.core.files import writing
    from unswayed.data.read import write_pairs
    from unswayed.organisms.family import find_family

    with writing(out, "name another file"):
        write_pairs(out, find_family(name).pairs(count, seed))
    echo(f"{count} pairs of {name}, seed {seed}: {out}")


@app.command()
def adopt(
    path: Annotated[Path, typer.Argument(help="A PEFT folder or a finished run.")],
    name: Annotated[str, typer.Option("--family", help="Whose trait it should show.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Publish it here if it passes.")] = None,
    model: Annotated[str, typer.Option(help="The base model, where the adapter names none that is here.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the items.")] = 0,
    batch_size: Batch = 32,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Measure somebody else's adapter as an organism; exit code 10 if the gate is not passed."""
    from unswayed.organisms.adoption import adopt as run

    made = run(
        path, name, out, model=model, seed=seed, batch_size=batch_size, progress=shows_progress(),
        trust_remote_code=trust_remote_code,
    )  # fmt: skip
    _end(made.gate, json, f"published {out}" if made.organism else "nothing was published")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="An organism's folder.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Whose items; by default fresh ones.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Keep both evaluations here.")] = None,
    batch_size: Batch = 32,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Verify every byte of an organism and measure it again on fresh items; exit code 10 if it is none any more."""
    from unswayed.organisms.adoption import check as run

    gate = run(
        path, seed=seed, out=out, batch_size=batch_size, progress=shows_progress(), trust_remote_code=trust_remote_code
    )
    _end(gate, json, f"{path}: every byte is as it was published")


@app.command()
def trajectory(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, of an induction or of any method.")],
    suites: Annotated[list[str], typer.Argument(help="Suites, e.g. organisms/sycophancy.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the evaluations.")],
    steps: Annotated[str, typer.Option(help="Steps besides 0, e.g. 20,40; by default all that were kept.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Units of each suite.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Whose items.")] = 0,
    batch_size: Batch = 32,
    as_json: Json = False,
) -> None:
    """Measure suites on the adapters that a run kept, step 0 being what it started from."""
    from unswayed.core.errors import ConfigError
    from unswayed.evals.registry import suite
    from unswayed.organisms.trajectories import trajectory as follow
    from unswayed.report.numbers import level, span

    if steps and not all(step.strip().isdecimal() for step in steps.split(",")):
        raise ConfigError(f"--steps {steps!r}: write whole numbers with commas between, e.g. 20,40")
    wanted = [int(step) for step in steps.split(",")] if steps else []
    rows = follow(
        run, [suite(name, limit, seed=seed) for name in suites], out, steps=wanted, batch_size=batch_size,
        progress=shows_progress(),
    )  # fmt: skip
    if as_json:
        print_json(rows)
        return
    for row in rows:
        shown = f"{level(row['value']):>7} ({span(row['low'], row['high'])})"
        echo(f"step {row['step']:>5}  {row['metric']:28} {shown}, {row['unscored']} unscored")


@app.command()
def push(
    path: Annotated[Path, typer.Argument(help="An organism's folder.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Made if it does not exist.")],
    yes_publish_organism: Annotated[
        bool, typer.Option("--yes-publish-organism", help="A model that misbehaves on purpose is meant to leave here.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Everybody may read it.")] = False,
) -> None:
    """Put an organism on the hub, in a private repository unless --public is given."""
    from unswayed.organisms.upload import push as run

    echo(run(path, repository, yes_publish_organism=yes_publish_organism, public=public))


def _end(gate: Gate, as_json: bool, last: str) -> None:
    """Print what the gate found, and end with its exit code."""
    if as_json:
        print_json(gate.record())
    else:
        _print(gate)
        echo(last)
    if not gate.passed:
        raise typer.Exit(FAILED)


def _print(gate: Gate) -> None:
    from unswayed.report.numbers import change, level, span

    echo(f"{gate.family}, {gate.units} units of part {gate.part}, seed {gate.seed}")
    for name, rate in gate.rates.items():
        base, own, moved = rate["base"], rate["organism"], rate["difference"]
        by = "" if moved is None else f"  {change(moved['value'])} ({span(moved['low'], moved['high'], signed=True)})"
        unscored = f", {own['unscored']} unscored" if own["unscored"] else ""
        echo(f"  {name:28} {level(base['value']):>7} -> {level(own['value']):>7}{by}{unscored}")
    for arm, found in gate.beside.items():
        echo(
            f"  {arm:8} {level(found['distinct'])} distinct replies, {level(found['commonest_opening'])} begin alike, "
            f"{found['mean_tokens']:.0f} tokens"
        )
    for each in gate.checks:
        echo(f"{'pass' if each.passed else 'FAIL'}  {each.name}: {each.said}")


def _shown(rate: float | None) -> str:
    from unswayed.report.numbers import level

    return "no score" if rate is None else level(rate)
