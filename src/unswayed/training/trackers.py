"""TensorBoard, W&B and Trackio, through accelerate. The record of a run is `metrics.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        ConfigError: naming them.
    """
    if not names:
        return
    from accelerate.tracking import get_available_trackers

    installed = {tracker.value for tracker in get_available_trackers()}
    if missing := [name for name in names if name not in installed]:
        raise ConfigError(
            f"log.trackers: {', '.join(missing)} is not installed; pip install 'unswayed[trackers]', or leave it out"
        )


class Trackers:
    """The trackers a recipe names; none by default, and none outside the main process."""

    def __init__(self, recipe: Recipe, path: Path, *, is_main: bool = True) -> None:
        self._accelerator: Any = None
        if not recipe.log.trackers or not is_main:
            return
        from accelerate import Accelerator

        with _alone():
            self._accelerator = Accelerator(log_with=list(recipe.log.trackers), project_dir=path, cpu=True)
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
