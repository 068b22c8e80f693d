"""The façade in the shape PEFT and TRL users know: a class per method, keyword settings, `.train()`.

    run = uw.OPCT(model="smollm2-135m", pairs=pairs, steps=20, lr=3e-4).train()

It builds a `Recipe` and hands it to `unswayed.train`; there is no second way of training.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_file
from unswayed.core.types import PromptPair
from unswayed.data.read import write_pairs
from unswayed.train.loop import Run, train

# Settings that most people touch, by the name they expect, and where they live in a recipe.
SHORT = {
    "lr": ("optim", "lr"),
    "steps": ("train", "steps"),
    "epochs": ("train", "epochs"),
    "pairs_per_step": ("train", "pairs_per_step"),
    "micro_batch": ("train", "micro_batch"),
    "max_new_tokens": ("sampling", "max_new_tokens"),
    "rollouts_per_pair": ("sampling", "rollouts_per_pair"),
    "temperature": ("sampling", "temperature"),
    "anchors": ("data", "anchors"),
    "anchors_per_step": ("train", "anchors_per_step"),
    "rank": ("lora", "rank"),
    "alpha": ("lora", "alpha"),
    "dtype": ("model", "dtype"),
    "device": ("model", "device"),
    "adapter": ("model", "adapter"),
}


class _Trainer:
    """A recipe in the making.

    Args:
        model: alias, hub id, local folder or GGUF file.
        pairs: a file, or pairs in memory; these are written to `save_dir/name-pairs.jsonl`.
        name: the run's folder below `save_dir`.
        save_dir: where runs lie.
        seed: the run's seed.
        tables: any other recipe table, e.g. `{"optim": {"schedule": "cosine"}}`; `eval` is a list of them.
        settings: short names (`lr`, `steps`, `rank`, …; see `unswayed.api.SHORT`) and the method's own fields.

    Raises:
        ConfigError: an unknown setting, or settings that do not fit together.
    """

    method: ClassVar[str]

    def __init__(
        self,
        *,
        model: str,
        pairs: str | Path | Sequence[PromptPair],
        name: str | None = None,
        save_dir: str | Path = "runs",
        seed: int = 0,
        tables: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        built: dict[str, Any] = copy.deepcopy(tables or {})
        for table in ("model", "data", "method", "train"):
            built.setdefault(table, {})
        built["name"] = name or self.method
        built["seed"] = seed
        built["model"]["id"] = model
        built["method"]["name"] = self.method
        built.setdefault("save", {})["dir"] = str(save_dir)
        built["data"]["train"] = str(self._file(pairs, Path(save_dir), built["name"]))
        for key, value in settings.items():
            table, field = SHORT.get(key, ("method", key))
            built.setdefault(table, {})[field] = value
        self.recipe = Recipe.from_dict(built, where=type(self).__name__)

    def train(self, *, resume: bool = False, fresh: bool = False, progress: bool = True) -> Run:
        """Train and return the run; see `unswayed.train`."""
        return train(self.recipe, resume=resume, fresh=fresh, progress=progress)

    @staticmethod
    def _file(pairs: str | Path | Sequence[PromptPair], save_dir: Path, name: str) -> Path:
        if isinstance(pairs, str | Path):
            return Path(pairs)
        path, draft = save_dir / f"{name}-pairs.jsonl", save_dir / f"{name}-pairs-draft.jsonl"
        write_pairs(draft, pairs)
        try:
            if path.exists() and hash_file(path) != hash_file(draft):
                raise ConfigError(f"{path} holds other pairs; choose another name, or pass that file")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path


class OPCT(_Trainer):
    """On-Policy Consistency Training; see `unswayed.methods.opct`."""

    method = "opct"


class SFT(_Trainer):
    """Supervised fine-tuning on the teacher's completions or on targets; see `unswayed.methods.sft`."""

    method = "sft"


class BCT(_Trainer):
    """Bias-augmented consistency training with hard labels; see `unswayed.methods.bct`."""

    method = "bct"


class BCTSoft(_Trainer):
    """Bias-augmented consistency training with soft labels; see `unswayed.methods.bct_soft`."""

    method = "bct_soft"


class ACT(_Trainer):
    """Activation consistency training; see `unswayed.methods.act`."""

    method = "act"
