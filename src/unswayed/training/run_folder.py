"""Keep the run folder: what the run is, how far it is, how it ended.

recipe.json    every field, defaults filled in            DONE.json     it reached its last step
data.json      hash of the pairs and of their tokens      FAILED.json   why it stopped, and what to do
               (and sets for evaluation only in them)     probes.jsonl  what was looked at during training
model.json     hashes of weights, tokenizer, teacher      metrics.jsonl one row a step
plugins.json   hashes of modules from outside, if any
env.json       versions, machine                          rollouts/     every completion, one file a step
checkpoints/   see `unswayed.training.checkpoint`                  adapter/      the result, a plain PEFT folder
"""

from __future__ import annotations

import json
import logging
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.config.recipe import Recipe
from unswayed.core.errors import CheckpointError, ConfigError, DataError, UnswayedError
from unswayed.core.files import remove_entries, remove_temporary, rewrite_jsonl, write_json
from unswayed.core.hashing import changed_data
from unswayed.core.launcher import world_size
from unswayed.training.checkpoint import list_checkpoints
from unswayed.training.prepare import Prepared

log = logging.getLogger(__name__)
ALLOWED = "evaluation_only"
PLUGINS = "plugins.json"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


class RunState:
    """One run folder, held by this process; of several processes, only the main one calls what writes."""

    def __init__(self, path: Path, prepared: Prepared) -> None:
        self.path = path
        self.prepared = prepared
        self.model_identity: dict[str, str] = {"weights": prepared.model_identity, "chat": prepared.chat.identity}

    def begin(self, *, resume: bool, fresh: bool) -> None:
        """Take the folder for this run.

        Raises:
            ConfigError: it holds a run and neither `resume` nor `fresh` was asked for, or a science field differs.
            DataError: the pairs are not those the run began with.
            CheckpointError: the model or its tokenizer is not the one the run began with.
        """
        remove_temporary(self.path)
        remove_temporary(self.path / "checkpoints")
        remove_temporary(self.path / "rollouts")
        if fresh:
            remove_entries(self.path, "*", keep="LOCK")
        if (self.path / "recipe.json").exists():
            if not resume:
                raise ConfigError(
                    f"{self.path} holds a run ({self._progress()}); go on with --resume, start over with --fresh "
                    "(deletes it), or choose another name"
                )
            self._check_same()
            (self.path / "FAILED.json").unlink(missing_ok=True)
        else:
            write_json(self.path / "env.json", environment())
            allowed = dict(self.prepared.evaluation_only)
            write_json(
                self.path / "data.json", {**self.prepared.data_identity, **({ALLOWED: allowed} if allowed else {})}
            )
            if self.prepared.plugins:
                write_json(self.path / PLUGINS, dict(self.prepared.plugins))
            # Last: a folder with a recipe.json has all the others.
            write_json(self.path / "recipe.json", self.prepared.recipe.to_dict())

    def check_teacher(self, fingerprint: str) -> None:
        """Record the teacher's fingerprint, or compare it with the one on record.

        Raises:
            CheckpointError: the teacher's weights, or the base model's, are not those the run began with.
        """
        self.model_identity["teacher"] = fingerprint
        file = self.path / "model.json"
        if not file.exists():
            write_json(file, self.model_identity)
            return
        before = json.loads(file.read_text(encoding="utf-8"))
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

    def done(self, steps: int) -> None:
        """Record that the run reached its end."""
        write_json(self.path / "DONE.json", {"steps": steps})

    def failed(self, error: UnswayedError) -> None:
        """Record why the run stopped; the error itself is what the user sees, so a full disk here changes nothing."""
        try:
            write_json(
                self.path / "FAILED.json",
                {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)},
            )
        except OSError as second:
            log.warning("%s cannot be written: %s", self.path / "FAILED.json", second)

    def _check_same(self) -> None:
        before = Recipe.from_dict(
            json.loads((self.path / "recipe.json").read_text(encoding="utf-8")), where=str(self.path / "recipe.json")
        )
        changed = self.prepared.recipe.difference(before.science())
        if changed:
            raise ConfigError(
                f"{self.path}: this recipe is another experiment than the run it would go on with:\n  "
                + "\n  ".join(changed)
                + "\nundo the change, or choose another name"
            )
        file = self.path / PLUGINS
        plugins = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if plugins != self.prepared.plugins:
            names = sorted(plugins.keys() | self.prepared.plugins.keys())
            other = [name for name in names if plugins.get(name) != self.prepared.plugins.get(name)]
            raise ConfigError(
                f"{self.path}: the plug-in {', '.join(other)} is not the one that this run began with; import the same "
                "modules, unchanged, or choose another name"
            )
        data = json.loads((self.path / "data.json").read_text(encoding="utf-8"))
        data.pop(ALLOWED, None)  # recognised by what lies on this machine; the bytes are what must be the same
        if data != self.prepared.data_identity:
            raise DataError(changed_data(self.prepared.recipe.data.train, self.path, data, self.prepared.data_identity))

    def _progress(self) -> str:
        if self.is_done():
            return "finished"
        found = list_checkpoints(self.path)
        return f"last checkpoint {found[-1].name}" if found else "no checkpoint yet"


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
