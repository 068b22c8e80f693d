"""What several commands have in the same words: their options, and where they say things that are no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from unswayed.core.files import dump_json
from unswayed.core.printable import printable, printable_json

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything that needs no weights, then stop.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python that comes with the model.")]


def print_json(value: Any) -> None:
    """Print a result as JSON; characters that a terminal would obey are escaped."""
    typer.echo(printable_json(dump_json(value)), nl=False)


def notes(style: str = "yellow") -> Callable[[str], None]:
    """Return what prints a line to stderr; the text may be anybody's."""
    from rich.console import Console

    console = Console(stderr=True)
    return lambda text: console.print(printable(text), markup=False, highlight=False, style=style)
