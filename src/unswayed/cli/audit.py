"""`unswayed audit`: what changed between two models, and which part of the training made it."""

from __future__ import annotations

import typer

from unswayed.cli.audit_decompose import decompose

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command("decompose")(decompose)


@app.callback()
def _group() -> None:
    """Take a change of behaviour apart."""
