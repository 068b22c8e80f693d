"""Options that several commands share, and whether they show progress."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from unswayed.core.log import LOGGER

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything that needs no weights, then stop.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python that comes with the model.")]


def shows_progress() -> bool:
    """Return whether long work shows how far it is: not with `--quiet`."""
    return LOGGER.isEnabledFor(logging.INFO)
