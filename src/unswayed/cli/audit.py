"""`unswayed audit`: what changed between two models, in a form that a reviewer signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.audit_decompose import decompose
from unswayed.cli.options import Json, default_command, echo, print_json
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unswayed.audit.run import Audit

_RUN = "run"


app = typer.Typer(
    cls=default_command(_RUN),
    no_args_is_help=True,
    help="Audit what changed between two models: `unswayed audit BEFORE AFTER`, or one of the commands below.",
)

app.command("decompose")(decompose)


@app.command(_RUN)
def run(
    before: Annotated[
        str,
        typer.Argument(
            help="A folder of `unswayed eval`, a file of completions of any tool, or a policy as in `unswayed eval`."
        ),
    ],
    after: Annotated[str, typer.Argument(help="The same of the other model, on the same prompts.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the bundle; without one nothing is kept.")
    ] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML with an \\[audit] table.")] = None,
    rule: Annotated[
        str | None, typer.Option(help="A rule of `unswayed rules`, for rows that carry no outcome of their own.")
    ] = None,
    trait: Annotated[
        str | None, typer.Option(help="Which value of rule or judge is the trait: found, or missing.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="SPEC", help="A judge as in `unswayed judge check`, for such rows.")
    ] = None,
    rubric: Annotated[str | None, typer.Option(help="What the judge judges by.")] = None,
    eps: Annotated[float | None, typer.Option(help="The change of a rate that matters; by default 0.05.")] = None,
    looks: Annotated[int | None, typer.Option(min=1, help="How often AFTER was evaluated on these prompts.")] = None,
    replicate: Annotated[
        Path | None, typer.Option(metavar="BEFORE2", help="BEFORE once more, from other seeds: the noise floor.")
    ] = None,
    parity: Annotated[
        Path | None, typer.Option(metavar="AFTER2", help="AFTER once more by another path: merged, another engine.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="People's labels: a table with arm, id and human.")
    ] = None,
    attribution: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `unswayed audit decompose --json` printed.")
    ] = None,
    inputs: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Input of OpenAI's batch API; may be given twice.")
    ] = None,
    scorer: Annotated[str | None, typer.Option(help="Of Inspect's scorers, the one that counts.")] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="SECTION", help="Switch a section off; repeatable.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="VERDICT", help="A verdict that ends with 0, e.g. suppressed.")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(metavar="SUITE", help="What policies are asked; repeatable.")
    ] = None,
    suite_arg: Annotated[
        list[str] | None, typer.Option("--suite-arg", "-T", metavar="NAME=VALUE", help="An argument of every suite.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each suite.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Replies of a policy to each prompt at temperature 1.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts that a policy is asked at once.")] = 16,
    dtype: Annotated[str, typer.Option(help="Of a policy: auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="Of a policy: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    again: Annotated[bool, typer.Option("--again", help="Count another look at the prompts of this folder.")] = False,
    show_sensitive: Annotated[
        bool, typer.Option("--show-sensitive", help="Show the texts of suites marked as sensitive.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of every draw.")] = None,
    json: Json = False,
) -> None:
    """Audit two arms. Ends with 0 where nothing was found, 10 with a finding, 11 where something is undecided.

    Example: unswayed audit before.jsonl after.jsonl --rule refusal -o audits/two-files
    Policies: unswayed audit smollm2-135m runs/opct --suite sycophancy/suggested_answer -o audits/opct
    """
    from unswayed.audit.run import audit

    asked = _judge(judge, rubric if not suite else rubric or "")
    found = audit(
        before, after, live=_live(suite or (), suite_arg or (), limit, seed, draws, batch_size, dtype, device, asked),
        plan=plan, out=out, judge=asked, replicate=replicate, parity=parity, labels=labels,
        attribution=attribution,
        inputs=inputs or (), scorer=scorer, skip=skip or (), again=again, show_sensitive=show_sensitive,
        rule=rule, trait=trait, rubric=rubric, eps=eps, looks=looks, seed=seed,
    )  # fmt: skip
    if json:
        print_json(found.content)
    else:
        _print(found)
    raise typer.Exit(found.exit_code(_allowed(allow or ())))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A bundle that `unswayed audit -o` wrote.")], json: Json = False
) -> None:
    """Recompute a bundle from its replies and compare every byte; ends with 10 where something differs.

    Example: unswayed audit verify audits/two-files
    """
    from unswayed.audit.verify import verify as check
    from unswayed.core.printable import printable

    checks = check(folder)
    holds = all(one.holds is not False for one in checks)
    if json:
        print_json(
            {"holds": holds, "checks": [{"name": one.name, "holds": one.holds, "said": one.said} for one in checks]}
        )
    else:
        for one in checks:
            state = {True: "holds", False: "DIFFERS", None: "not compared"}[one.holds]
            echo(printable(f"{one.name:<10}{state:<14}{one.said}", newlines=False))
    if not holds:
        raise typer.Exit(10)


@app.command("cells")
def cells(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="A folder that `unswayed sweep run` filled.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bundles, one for each trained cell.")],
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML with an \\[audit] table, for all.")] = None,
    allow: Annotated[list[str] | None, typer.Option(metavar="VERDICT", help="A verdict that ends with 0.")] = None,
    json: Json = False,
) -> None:
    """Audit every trained cell of a sweep against the organism it began as.

    Example: unswayed audit cells sweeps/small -o audits/small
    """
    from unswayed.audit.cells import audit_cells, exit_of

    found = audit_cells(sweep, out, plan)
    if json:
        rows = [{"name": pair.name, "cell": pair.cell, "verdicts": one.verdicts} for pair, one in found]
        print_json({"audits": rows})
    else:
        for pair, one in found:
            echo(f"{pair.name} ({pair.cell})")
            _print(one)
    raise typer.Exit(exit_of(found, tuple(_allowed(allow or ()))))


@app.command("plan")
def write_plan(
    before: Annotated[
        Path | None, typer.Argument(help="One arm: its behaviours and prompts go into the plan, no outcome is seen.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The plan.")] = Path("audit.toml"),
    rule: Annotated[str | None, typer.Option(help="A rule of `unswayed rules`.")] = None,
    sweep: Annotated[
        Path | None,
        typer.Option("--from", metavar="SWEEP", help="A sweep's folder or recipe: its organisms are BEFORE."),
    ] = None,
) -> None:
    """Write a plan to edit: margins, family, limits, and what so many prompts can show.

    Example: unswayed audit plan before.jsonl -o audit.toml
    """
    from unswayed.audit.formats.read import read_arm
    from unswayed.audit.planning import draft
    from unswayed.core.files import write_atomic

    if out.exists():
        raise ConfigError(f"{out}: exists; a plan is not overwritten. Name another file with -o")
    if sweep is not None and before is None:
        from unswayed.audit.planning import organism_of

        before = organism_of(sweep)
    write_atomic(out, draft(None if before is None else read_arm(before), rule))
    told = (
        f"unswayed audit cells {sweep} --plan {out} -o audits" if sweep else f"unswayed audit BEFORE AFTER --plan {out}"
    )
    echo(f"{out}: edit it, then {told}", err=True)


def _judge(spec: str | None, rubric: str | None) -> Any:
    if spec is None:
        return None
    from unswayed.judges.build import build_judge, default_cache

    if rubric is None:  # suites name their own
        raise ConfigError("a judge judges by a rubric: name one with --rubric")
    return build_judge(spec, cache=None if spec == "rule" else default_cache())


def _live(
    suites: Sequence[str], arguments: Sequence[str], limit: int | None, seed: int | None, draws: int, batch_size: int,
    dtype: str, device: str, judge: Any,
) -> Any:  # fmt: skip
    """Return how policies are asked; None where no suite is named."""
    if not suites:
        return None
    from unswayed.audit.live import Live
    from unswayed.cli.options import shows_progress
    from unswayed.evals.arguments import read_arguments
    from unswayed.evals.registry import suite

    def load(name: str) -> Any:
        from unswayed.engine.named import load_policy

        return load_policy(name, dtype=dtype, device=device)

    given = read_arguments(suites, arguments)
    built = tuple(suite(name, limit, seed=seed or 0, **given) for name in suites)
    return Live(built, load, draws, batch_size, judge, shows_progress())


def _allowed(names: Sequence[str]) -> list[str]:
    known = ("AMPLIFIED", "SUPPRESSED", "CONFOUNDED", "UNDECIDED")
    wrong = [name for name in names if name.upper() not in known]
    if wrong:
        raise ConfigError(f"--allow {', '.join(wrong)}: no verdict; there are {', '.join(known)}")
    return [name.upper() for name in names]


_STYLES = {
    "AMPLIFIED": "bold red",
    "CONFOUNDED": "bold yellow",
    "UNDECIDED": "yellow",
    "SUPPRESSED": "green",
    "NEUTRAL": "dim",
}


def _print(found: Audit) -> None:
    from rich.console import Console
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report.numbers import change, size, span

    console = Console(highlight=False)

    def say(text: str, style: str = "") -> None:
        console.print(Text(printable(text, newlines=False), style=style), soft_wrap=True)

    for one in found.verdicts:
        low, high = one["interval"] or (None, None)
        within = f" within {size(one['eps'])}" if one["verdict"] == "NEUTRAL" else ""
        say(f"{one['verdict']}{within}  {one['behaviour']}", _STYLES[one["verdict"]])
        lost = f", {one['unscored']:,} replies without an outcome" if one["unscored"] else ""
        say(f"  {change(one['estimate'])} points [{span(low, high, signed=True)}], {one['n']:,} prompts{lost}")
        say(f"  {one['why']}")
    off = [section["title"] for section in found.content["sections"].values() if section["status"] == "NOT RUN"]
    if off:
        say(f"NOT RUN: {', '.join(off).lower()}", "dim")
    for line in found.content["given"]["departures"]:
        say(f"departure from the plan: {line}", "yellow")
    if found.folder is not None:
        say(str(found.folder / "audit.html"))
