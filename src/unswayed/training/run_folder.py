"""Keep the run folder: what the run is, how far it is, how it ended.

RUN.json       that this is a run's folder; written first
recipe.json    every field, defaults filled in            DONE.json     it reached its last step
data.json      hash of the pairs and of their tokens      FAILED.json   why it stopped, and what to do
               (and sets for evaluation only in them)     probes.jsonl  what was looked at during training
model.json     hashes of weights, tokenizer, teacher      SAVED.json    the newest checkpoint's step
                                                          metrics.jsonl one row a step
plugins.json   hashes of modules from outside, if any
env.json       versions, machine                          rollouts/     every completion, one file a step
predictions.jsonl   sealed predictions that were there first (`unswayed preflight`), if any
checkpoints/   see `unswayed.training.checkpoint`                  adapter/      the result, a plain PEFT folder
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from unswayed._version import __version__
from unswayed.config.recipe import Recipe
from unswayed.core.errors import CheckpointError, ConfigError, DataError
from unswayed.core.files import (
    read_json,
    read_jsonl,
    remove_entry,
    remove_temporary,
    rewrite_jsonl,
    write_json,
    write_jsonl,
)
from unswayed.core.hashing import changed_data
from unswayed.core.launcher import world_size
from unswayed.training.checkpoint import Checkpoint, list_checkpoints
from unswayed.training.export import adapter_files
from unswayed.training.prepare import Prepared, count_steps

log = logging.getLogger(__name__)
ALLOWED = "evaluation_only"
PLUGINS = "plugins.json"
PREDICTIONS = "predictions.jsonl"
"""Beside the runs: the seals of predictions, one a line. A run copies those that are there when it begins."""
MARKER = "RUN.json"
RECIPE = "recipe.json"
# What a run writes into its folder, and so all that --fresh deletes; the recipe first, so that a kill in between
# leaves no recipe beside files that are gone.
WRITTEN = (
    RECIPE, "DONE.json", "FAILED.json", "SAVED.json", "model.json", "data.json", PLUGINS, "env.json", "metrics.jsonl",
    "probes.jsonl", PREDICTIONS, "checkpoints", "rollouts", "adapter",
)  # fmt: skip
AGAIN = "restore it, or start over with --fresh"
LENGTH = ("train.steps", "train.epochs")
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


class RunState:
    """One run folder, held by this process; of several processes, only the main one calls what writes."""

    def __init__(self, path: Path, prepared: Prepared) -> None:
        self.path = path
        self.prepared = prepared
        self._found: Checkpoint | None = None
        self.model_identity: dict[str, str] = {
            "weights": prepared.model_identity,
            "chat": prepared.chat.identity,
            "stop tokens": ", ".join(map(str, sorted(prepared.chat.stop_ids))),
        }

    def check(self, *, resume: bool | Literal["auto"], fresh: bool) -> None:
        """Refuse a folder that this run may not take; nothing is changed.

        Raises:
            ConfigError: it holds a run and neither `resume` nor `fresh` was asked for, it holds none and `resume` was,
                a science field differs, or what lies there was not written by a run.
            DataError: the pairs are not those the run began with.
            CheckpointError: the model, its tokenizer or its stop tokens are not those the run began with.
        """
        self._check_foreign(fresh=fresh)
        if fresh:
            return
        begun = (self.path / RECIPE).exists()
        if not begun and list_checkpoints(self.path):
            raise ConfigError(
                f"{self.path} holds checkpoints but no recipe.json that says of what; put it back, start over with "
                "--fresh (deletes them), or choose another name"
            )
        if not begun and resume is True:
            raise ConfigError(
                f"{self.path}: there is no run to resume; check `name` and `save.dir`, or leave --resume out to begin "
                "one (--auto-resume does either)"
            )
        if begun and not resume:
            raise ConfigError(
                f"{self.path} holds a run ({self.progress()}); go on with --resume, start over with --fresh "
                "(deletes it), or choose another name"
            )
        if begun:
            self._check_same()
            self._check_model()

    def begin(self, *, resume: bool | Literal["auto"], fresh: bool) -> None:
        """Take the folder for this run; fails as `check` does."""
        self.check(resume=resume, fresh=fresh)
        if not (self.path / MARKER).exists():
            write_json(self.path / MARKER, {"unswayed": __version__})
        remove_temporary(self.path, *WRITTEN)
        remove_temporary(self.path / "checkpoints", "[0-9]*")
        remove_temporary(self.path / "rollouts", "step-*.jsonl")
        if fresh or not (self.path / RECIPE).exists():  # the latter: a start, or a --fresh, that was cut off
            self._remove()
        if (self.path / RECIPE).exists():
            (self.path / "FAILED.json").unlink(missing_ok=True)
            if self._steps_before() != self.prepared.steps:
                write_json(self.path / "recipe.json", self.prepared.recipe.to_dict())
                (self.path / "DONE.json").unlink(missing_ok=True)
        else:
            write_json(self.path / "env.json", environment())
            allowed = dict(self.prepared.evaluation_only)
            write_json(
                self.path / "data.json", {**self.prepared.data_identity, **({ALLOWED: allowed} if allowed else {})}
            )
            if self.prepared.plugins:
                write_json(self.path / PLUGINS, dict(self.prepared.plugins))
            if sealed := read_jsonl(self.path.parent / PREDICTIONS):
                write_jsonl(self.path / PREDICTIONS, sealed)
            # Last: a folder with a recipe.json has all the others.
            write_json(self.path / "recipe.json", self.prepared.recipe.to_dict())

    def _check_foreign(self, *, fresh: bool) -> None:
        """Refuse a folder without a marker in which other files stand where a run would write or delete."""
        if (self.path / MARKER).exists() or not self.path.exists():
            return
        there = sorted(set(os.listdir(self.path)) - {"LOCK"})
        foreign = there if fresh else [name for name in there if name in WRITTEN]
        if foreign:
            raise ConfigError(
                f"{self.path} holds {', '.join(foreign[:5])}{', …' if foreign[5:] else ''}, and no {MARKER} says that "
                "a run wrote that; nothing was changed. Choose another name or save.dir, or move it away"
            )

    def _remove(self) -> None:
        """Delete what a run wrote, and nothing else."""
        for name in WRITTEN:
            remove_entry(self.path / name)
        for events in (self.path / self.prepared.recipe.log.project).rglob("events.out.tfevents.*"):
            events.unlink()

    def info(self) -> dict[str, Any]:
        """Return what a checkpoint records of the run that it belongs to."""
        return {
            "recipe": self.prepared.recipe.science(),
            "data": self.prepared.data_identity,
            "model": dict(self.model_identity),
        }

    def check_checkpoint(self, found: Checkpoint | None) -> None:
        """Refuse a checkpoint of another run, and a start from step 0 where there was one.

        Raises:
            CheckpointError: what the checkpoint records is not this run, or there is none although one was saved.
        """
        saved, self._found = self.last_saved(), found
        if found is None and saved:
            raise CheckpointError(
                f"{self.path}: the checkpoint of step {saved} is gone, and there is no other; put one back, or start "
                "over with --fresh"
            )
        self._check_found()
        if found is not None and found.step < saved:
            log.warning("%s: the checkpoint of step %d is gone; going on from step %d", self.path, saved, found.step)

    def _check_found(self) -> None:
        changed = _changes(self._found.info, self.info()) if self._found else []
        if changed and self._found:
            raise CheckpointError(
                "\n  ".join([f"{self._found.path}: this checkpoint is of another run:", *changed])
                + "\nput this run's own back, or start over with --fresh"
            )

    def check_teacher(self, fingerprint: str) -> None:
        """Record the teacher's fingerprint, or compare it with the one on record, in a checkpoint's manifest too.

        Raises:
            CheckpointError: the teacher's weights, or the base model's, are not those the run began with.
        """
        self.model_identity["teacher"] = fingerprint
        self._check_model()
        self._check_found()
        if not (self.path / "model.json").exists():
            write_json(self.path / "model.json", self.model_identity)

    def _check_model(self) -> None:
        """Compare what is known of the model so far with what is on record."""
        file = self.path / "model.json"
        if not file.exists():
            return
        before = read_json(file, AGAIN)
        changed = [key for key, value in self.model_identity.items() if before.get(key) != value]
        if changed:
            lines = [f"  {key}: was {before.get(key)}, now {self.model_identity[key]}" for key in changed]
            raise CheckpointError(
                "\n".join([f"{self.path}: the frozen model is not the one this run began with", *lines,
                           "put the old files back, or start over with --fresh"])
            )  # fmt: skip

    def forget_after(self, step: int) -> None:
        """Drop metrics, probes and rollouts of steps that will be taken again."""
        for name in ("metrics.jsonl", "probes.jsonl"):
            rewrite_jsonl(self.path / name, lambda row: row["step"] <= step)
        for file in sorted((self.path / "rollouts").glob("step-*.jsonl")):
            if int(file.stem.removeprefix("step-")) > step:
                file.unlink()

    def rollouts(self, number: int) -> Path:
        """Return the file for the completions of 0-based step `number`."""
        return self.path / "rollouts" / f"step-{number + 1:06d}.jsonl"

    def last_checkpoint(self) -> str:
        """Return where to go back to, as a sentence."""
        found = list_checkpoints(self.path)
        return f"The last checkpoint is {found[-1]}" if found else "There is no checkpoint yet"

    def is_done(self) -> bool:
        """Return whether the run reached its last step and published its adapter."""
        return (self.path / "DONE.json").exists() and (self.path / "adapter").is_dir()

    def last_saved(self) -> int:
        """Return the step of the newest checkpoint that was ever written, 0 where none was."""
        steps = [0]
        for name, key in (("SAVED.json", "step"), ("DONE.json", "steps")):
            if (self.path / name).exists():
                steps.append(int(read_json(self.path / name, AGAIN).get(key, 0)))
        return max(steps)

    def saved(self, step: int) -> None:
        """Record that there is a checkpoint of this step."""
        if step > self.last_saved():
            write_json(self.path / "SAVED.json", {"step": step})

    def done(self, steps: int) -> None:
        """Record that the run reached its end."""
        write_json(self.path / "DONE.json", {"steps": steps, "adapter": adapter_files(self.path)})

    def failed(self, error: Exception) -> None:
        """Record why the run stopped; the error itself is what the user sees, so a full disk here changes nothing."""
        try:
            write_json(
                self.path / "FAILED.json",
                {"error": type(error).__name__, "exit_code": getattr(error, "exit_code", 1), "message": str(error)},
            )
        except OSError as second:
            log.warning("%s cannot be written: %s", self.path / "FAILED.json", second)

    def _check_same(self) -> None:
        before = self._recipe_before()
        changed = self.prepared.recipe.difference(before.science())
        if changed and set(changed) <= set(self._length_changes(before)):
            changed = self._why_not_longer(before, changed)
        if changed:
            raise ConfigError(
                f"{self.path}: this recipe is another experiment than the run it would go on with:\n  "
                + "\n  ".join(changed)
                + "\nundo the change, or choose another name"
            )
        file = self.path / PLUGINS
        plugins = read_json(file, AGAIN) if file.exists() else {}
        if plugins != self.prepared.plugins:
            names = sorted(plugins.keys() | self.prepared.plugins.keys())
            other = [name for name in names if plugins.get(name) != self.prepared.plugins.get(name)]
            raise ConfigError(
                f"{self.path}: the plug-in {', '.join(other)} is not the one that this run began with; import the same "
                "modules, unchanged, or choose another name"
            )
        data = read_json(self.path / "data.json", AGAIN)
        data.pop(ALLOWED, None)  # recognised by what lies on this machine; the bytes are what must be the same
        if data != self.prepared.data_identity:
            raise DataError(
                changed_data(
                    self.prepared.recipe.data.train, f"the run in {self.path}", data, self.prepared.data_identity
                )
            )

    def _recipe_before(self) -> Recipe:
        return Recipe.from_dict(read_json(self.path / RECIPE, AGAIN), where=str(self.path / RECIPE))

    def _steps_before(self) -> int:
        return count_steps(self._recipe_before().train, len(self.prepared.pairs))

    def _length_changes(self, before: Recipe) -> list[str]:
        """Return how the run's length differs from what it was begun with, as `Recipe.difference` words it."""
        mine = self.prepared.recipe
        return mine.difference({**mine.science(), **{key: before.science()[key] for key in LENGTH}})

    def _why_not_longer(self, before: Recipe, changed: list[str]) -> list[str]:
        """Return why the run cannot go on to another number of steps as if it had been begun so; empty where it can."""
        optim, longer = self.prepared.recipe.optim, self.prepared.steps >= self._steps_before()
        same_unit = (before.train.steps is None) == (self.prepared.recipe.train.steps is None)
        if optim.schedule == "constant" and not optim.warmup_ratio and longer and same_unit:
            return []
        if not longer:
            return [*changed, "a run can grow, not shrink"]
        if not same_unit:
            return [*changed, "steps and epochs divide the pairs into steps in different ways"]
        rates = f"optim.schedule = {optim.schedule!r}, warmup_ratio = {optim.warmup_ratio:g}"
        return [*changed, f"{rates}: the rates of the steps already taken depend on how many there are in all"]

    def progress(self) -> str:
        """Return how far the run in this folder is, in words."""
        if self.is_done():
            return "finished"
        found = list_checkpoints(self.path)
        return f"last checkpoint {found[-1].name}" if found else "no checkpoint yet"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what a checkpoint's record says otherwise than this run, one line each; lengths were compared before."""
    lines = []
    for part, values in now.items():
        theirs = before.get(part, {})
        keys = sorted(theirs.keys() & values.keys() if part == "recipe" else values.keys())
        lines += [
            f"{part}: {key}: was {theirs.get(key)}, now {values[key]}"
            for key in keys
            if key not in LENGTH and theirs.get(key) != values[key]
        ]
    return lines


def environment() -> dict[str, Any]:
    """Return versions and machine: what a reader needs to judge whether bits may be expected to be equal."""
    import torch

    return {
        "unswayed": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
