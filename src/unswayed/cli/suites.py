"""`unswayed suites`: list the suites, what each asks and needs, and which arguments it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from unswayed.cli.options import Json, echo, print_json

COLUMNS = ("name", "unit", "judge", "data")


def suites(
    name: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="Say everything about this one.")] = None,
    as_json: Json = False,
) -> None:
    """List the suites: what each asks, what a cluster is, which data it reads and whether a judge scores it.

    Example: unswayed suites sycophancy/mmlu
    """
    import inspect

    from unswayed.core.printable import printable
    from unswayed.evals.catalogue import catalogue, describe
    from unswayed.evals.registry import builder

    rows = [describe(name)] if name else catalogue()
    if as_json:
        print_json(rows)
        return
    widths = [max(len(each) for each in (column, *(row[column] for row in rows))) + 2 for column in COLUMNS]
    for row in (dict(zip(COLUMNS, ("suite", *COLUMNS[1:]), strict=True)), *rows):
        cells = (row[column].ljust(width) for column, width in zip(COLUMNS, widths, strict=True))
        echo(printable("".join(cells).rstrip(), newlines=False))
        if "asks" in row and not name:
            echo(printable(f"    {row['asks']}", newlines=False))
    if not name:
        echo("\nunswayed suites SUITE says everything about one; unswayed eval -T NAME=VALUE sets its arguments.")
        return
    echo("\n" + printable(inspect.getdoc(builder(name)) or "no description"))
    if given := rows[0]["arguments"]:
        defaults = ", ".join(f"{key}={value!r}" for key, value in given.items())
        echo(printable(f"\n-T takes, with defaults: {defaults}", newlines=True))
