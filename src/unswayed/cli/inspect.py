"""`unswayed inspect`: our evaluations for Inspect's viewer. What Inspect runs itself, `inspect eval` starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unswayed.cli.options import echo

app = typer.Typer(
    help='Evaluations as logs for Inspect\'s viewer; needs the extra: pip install "unswayed[inspect]".',
    no_args_is_help=True,
)


@app.command()
def export(
    evaluations: Annotated[list[Path], typer.Argument(help="Folders that `unswayed eval` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the logs, or one file that ends in .eval.")],
    show_sensitive: Annotated[
        bool, typer.Option("--show-sensitive", help="Keep prompts and replies of suites marked as sensitive.")
    ] = False,
) -> None:
    """Write finished evaluations as .eval logs: `inspect view start --log-dir LOGS` then shows them.

    Example: unswayed inspect export evals/base evals/trained -o logs
    """
    from unswayed.core.errors import ConfigError
    from unswayed.core.printable import printable
    from unswayed.evals.results import evaluations as evaluations_in

    found = [folder for given in evaluations for folder in evaluations_in(given)]
    from unswayed.evals.inspect.export import EXTENSION, export_log

    if out.suffix == EXTENSION and len(found) > 1:
        raise ConfigError(f"{out} is one file, and there are {len(found)} evaluations; give a folder")
    for folder in found:
        echo(printable(str(export_log(folder, out, show_sensitive=show_sensitive)), newlines=False))
