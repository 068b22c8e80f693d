"""`unswayed sweep`: a matrix of organisms, methods and seeds, planned, run and read from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.options import Json, echo, print_json, shows_progress
from unswayed.core.printable import printable

if TYPE_CHECKING:
    from unswayed.sweep.states import Status

app = typer.Typer(help="Plan, run and read a matrix of organisms, methods and seeds.", no_args_is_help=True)
Recipe = Annotated[Path, typer.Argument(help="A sweep recipe in TOML.", metavar="SWEEP.toml")]
Root = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep, sweeps/NAME by default.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field, e.g. --set seeds=[0,1]. Repeatable.", metavar="A.B=C"),
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", "-m", help="A column to plan; by default all that are not optional. Repeatable."),
]


@app.command()
def plan(recipe: Recipe, set_: Set = None, method: Methods = None, as_json: Json = False) -> None:
    """Print what a sweep comes to: cells, tokens, judge calls and hours, before anything is fetched or loaded.

    Example: unswayed sweep plan recipes/sweeps/paper.toml
    """
    from unswayed.sweep.planning import plan as planned

    told = planned(recipe, set=set_ or (), methods=method).to_json()
    if as_json:
        print_json(told)
        return
    echo(
        f"{told['name']}: {told['organisms']} organisms of {len(told['models'])} models and {len(told['families'])} "
        f"families, {len(told['methods'])} methods"
    )
    rows = [("kind", "cells", "drawn", "scored", "trained on", "hours")]
    for kind, count in told["cells"].items():
        tokens = told["tokens"][kind].values()
        rows.append((kind, f"{count:,}", *(f"{value / 1e6:,.1f}M" for value in tokens), f"{told['hours'][kind]:,.1f}"))
    rows.append(("all", f"{sum(told['cells'].values()):,}", "", "", "", f"{told['total_hours']:,.1f}"))
    echo(_columns(rows))
    rates = told["rates"]
    echo(
        f"judge calls {told['judge_calls']:,}; hours are those of one accelerator at {rates['rollout']:g} drawn, "
        f"{rates['scored']:g} scored and {rates['training']:g} trained tokens a second times billions of parameters "
        f"({printable(rates['source'], newlines=False)})"
    )


@app.command()
def run(
    sweep: Annotated[Path, typer.Argument(help="A sweep recipe, or the folder of a sweep.", metavar="SWEEP.toml|DIR")],
    executor: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    slots: Annotated[int, typer.Option(min=0, help="Commands at once; 0 is one for each device, or one.")] = 0,
    devices: Annotated[str, typer.Option(help="Accelerators to share out among the slots, e.g. 0,1,2.")] = "",
    memory: Annotated[float | None, typer.Option(min=0, help="GB that the commands may take together.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed cells again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With slurm: return when the jobs have ended.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="With slurm: what else sbatch is given, e.g. --partition=gpu. Repeatable."),
    ] = None,
    address: Annotated[str, typer.Option(help="With ray: the cluster; auto is the one of this machine.")] = "auto",
    set_: Set = None,
    method: Methods = None,
    as_json: Json = False,
) -> None:
    """Run what is unfinished of a sweep. The same command goes on where it stopped.

    Example: unswayed sweep run recipes/sweeps/small.toml --slots 2
    """
    from unswayed.sweep.cell import read_cells
    from unswayed.sweep.live import Live
    from unswayed.sweep.running import failures, folder_of
    from unswayed.sweep.running import run as run_sweep

    root = folder_of(sweep, set=set_ or (), methods=method)
    with Live(str(root), read_cells(root), shown=shows_progress()) as live:
        found = run_sweep(
            root,
            executor=executor,  # type: ignore[arg-type]
            slots=slots,
            devices=[device.strip() for device in devices.split(",") if device.strip()],
            memory=float("inf") if memory is None else memory,
            retry=retry,
            wait=wait,
            options=option or (),
            address=address,
            watch=live.update,
        )
    _print_status(root, found, as_json)
    failed = failures(root, found)
    if failed is not None:
        raise failed


@app.command()
def status(root: Root, as_json: Json = False) -> None:
    """Print how many cells are done, running, failed, waiting or blocked, and how long the rest will take."""
    from unswayed.sweep.states import status as found

    _print_status(root, found(root), as_json)


def _print_status(root: Path, found: Status, as_json: bool) -> None:
    from unswayed.core.progress import clock
    from unswayed.sweep.states import STATES

    told = found.to_json()
    if as_json:
        print_json({"folder": str(root), **told})
        return
    present = [state for state in STATES if any(state in row for row in told["counts"].values())]
    rows = [("kind", *present)]
    rows += [(kind, *(str(row.get(state, "")) for state in present)) for kind, row in told["counts"].items()]
    echo(_columns(rows))
    for cell in told["cells"]:
        if cell["state"] in {"running", "failed"}:
            echo(printable(f"{cell['state']:8} {cell['key']}  {cell['name']}", newlines=False))
    left = told["seconds_left"]
    echo(
        f"{clock(told['seconds'])} of commands so far"
        + (f", {clock(left)} more at that rate, one after the other" if left else "")
        + (f"; {len(told['stale'])} folders of earlier plans" if told["stale"] else "")
    )


@app.command()
def why(
    root: Root,
    cell: Annotated[str, typer.Argument(help="The beginning of a key, or a name.", metavar="CELL")],
    as_json: Json = False,
) -> None:
    """Print why a cell is as it is: what it waits for, how it failed, or which input made its result stale."""
    from unswayed.sweep.states import why as told_of

    told = told_of(root, cell)
    if as_json:
        print_json(told)
        return
    lines = [f"{told['name']} ({told['key']}): {told['state']}"]
    lines += [f"run by {told['running']}"] if told["running"] else []
    lines += [f"needs {need['name']} ({need['key']}): {need['state']}" for need in told["needs"]]
    if told["failure"]:
        lines += [
            f"ended with exit code {told['failure']['code']}:",
            *(f"    {line}" for line in told["failure"]["lines"]),
        ]
    for stale in told["stale"]:
        lines += [f"was {stale['key']} in an earlier plan; since then:", *(f"    {line}" for line in stale["changed"])]
    lines += [f"by hand: cd {told['folder']} && {told['command']}"]
    echo("\n".join(printable(line, newlines=False) for line in lines))


@app.command()
def table(root: Root, as_json: Json = False) -> None:
    """Write one table of everything that was measured: DIR/table.jsonl and DIR/table.parquet."""
    from unswayed.sweep.rows import JSONL, PARQUET
    from unswayed.sweep.rows import table as rows_of

    rows = rows_of(root)
    if as_json:
        print_json(rows)
        return
    echo(f"{len(rows)} rows in {root / JSONL} and {root / PARQUET}")


@app.command()
def report(root: Root, as_json: Json = False) -> None:
    """Write the page of a sweep: DIR/report.html, and DIR/report.json with everything on it."""
    import json

    from unswayed.sweep.page import report as page_of

    page = page_of(root)
    if as_json:
        print_json(json.loads((page.with_suffix(".json")).read_text(encoding="utf-8")))
        return
    echo(str(page))


@app.command(hidden=True)
def cell(root: Root, key: Annotated[str, typer.Argument(help="The key of a cell.")]) -> None:
    """Run one cell and publish its result: what Slurm and Ray run. Ends as its command does."""
    from unswayed.core.signals import stop_signals
    from unswayed.sweep.cell import read_cell, run_cell
    from unswayed.sweep.running import stopped

    with stop_signals:
        code = run_cell(root, read_cell(root, key), stop=stopped)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _columns(rows: list[tuple[Any, ...]]) -> str:
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines)
