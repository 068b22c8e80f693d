"""Observers of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Callback:
    """Observes a run; override what is needed. Nothing that it does changes what is trained.

    An exception ends the run as an error of the run would; what was saved stays.
    """

    def on_step(self, row: Mapping[str, Any]) -> None:
        """Receive the row of `metrics.jsonl` of a step that was just taken."""

    def on_checkpoint(self, step: int, run_dir: Path) -> None:
        """Receive the number of steps that a checkpoint just written holds, and the run folder."""

    def on_end(self, run_dir: Path) -> None:
        """Receive the folder of the finished run, with its adapter."""
