"""TensorBoard, W&B and Trackio, through accelerate. The record of a run is `metrics.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError


class Trackers:
    """The trackers a recipe names; none by default, and none outside the main process."""

    def __init__(self, recipe: Recipe, path: Path, *, is_main: bool = True) -> None:
        self._accelerator: Any = None
        if not recipe.log.trackers or not is_main:
            return
        from accelerate import Accelerator
        from accelerate.tracking import filter_trackers

        try:
            filter_trackers(list(recipe.log.trackers), path)
            with _alone():
                self._accelerator = Accelerator(log_with=list(recipe.log.trackers), project_dir=path, cpu=True)
            if len(self._accelerator.log_with) < len(recipe.log.trackers):
                raise ImportError("not installed")
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"log.trackers = {recipe.log.trackers}: {error}; install it with pip install 'unswayed[trackers]'"
            ) from error
        flat = {key: value for key, value in recipe.science().items() if isinstance(value, int | float | str | bool)}
        self._accelerator.init_trackers(recipe.log.project, config=flat)

    def __enter__(self) -> Trackers:
        return self

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of metrics."""
        if self._accelerator is None:
            return
        values = {key: value for key, value in row.items() if isinstance(value, int | float) and key != "step"}
        values |= {f"seconds/{key}": value for key, value in row["seconds"].items()}
        self._accelerator.log(values, step=row["step"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._accelerator is not None:
            for tracker in self._accelerator.trackers:  # `end_training` would also part the processes of the run
                tracker.finish()


@contextmanager
def _alone() -> Iterator[None]:
    """Hide the launcher's variables: accelerate would connect the processes once more, and wait for them."""
    hidden = {name: os.environ.pop(name, None) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in hidden.items() if value is not None})
