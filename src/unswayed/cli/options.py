"""Options that several commands share, and whether they show progress."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unswayed.core.files import dump_json
from unswayed.core.log import LOGGER
from unswayed.core.printable import printable, printable_json

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything that needs no weights, then stop.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python that comes with the model.")]


def default_command(name: str) -> type[TyperGroup]:
    """Return a group of commands in which words that name none are those of the command `name`."""

    class Group(TyperGroup):
        default = name

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Put the default command before words that name none."""
            if args and args[0] not in {*self.commands, "--help", "-h"}:
                args = [self.default, *args]
            return super().parse_args(ctx, args)

    return Group


def shows_progress() -> bool:
    """Return whether long work shows how far it is: not with `--quiet`."""
    return LOGGER.isEnabledFor(logging.INFO)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text to stdout, or stderr; the one place where plain text of a command reaches a terminal."""
    typer.echo(printable(text), err=err, nl=nl)


def print_json(value: Any) -> None:
    """Print a result as JSON; characters that a terminal would obey are escaped."""
    typer.echo(printable_json(dump_json(value)), nl=False)
