"""What every arm does: the same pairs, model, adapter and optimizer. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child import Where
from bench.race import choose
from bench.summary import OURS
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.data.build.pairs import build_pairs
from unswayed.data.read import write_pairs
from unswayed.perturb.sycophancy import TRAIN_FAMILIES
from unswayed.questions.items import arithmetic_items

TRL, TRL_CHECKPOINTED, TRL_PARTS, PLAIN = "trl", "trl_checkpointed", "trl_parts", "transformers"
TRLS = (TRL, TRL_CHECKPOINTED, TRL_PARTS)
TITLES = {
    OURS: "unswayed",
    TRL: "TRL SDFT",
    TRL_CHECKPOINTED: "TRL SDFT, checkpointing",
    TRL_PARTS: "TRL SDFT, micro-batches",
    PLAIN: "Transformers loop",
}
ARMS: dict[str, Where] = {
    OURS: ("bench.step.ours", {}),
    TRL: ("bench.step.trl_sdft", {"checkpointing": False, "parts": False}),
    TRL_CHECKPOINTED: ("bench.step.trl_sdft", {"checkpointing": True, "parts": False}),
    TRL_PARTS: ("bench.step.trl_sdft", {"checkpointing": False, "parts": True}),
    PLAIN: ("bench.step.plain", {}),
}
PHASES = {"sample": "sample", "teacher": "teacher", "learn": "student+loss", "optim": "optim", "other": "other"}


@dataclass(frozen=True, slots=True)
class Work:
    """One measurement, as every process of it receives it.

    Attributes:
        model: as `unswayed.models.resolve` takes it.
        data: the pairs, `pairs` for each step, in the order in which every arm takes them.
        pairs: pairs (and completions) a step.
        steps: steps of each arm, warm-up included.
        new_tokens: longest completion.
        rank: of the LoRA adapter on all linear layers; alpha is twice that.
        threads: of every process; only one process computes at a time.
    """

    model: str
    data: str
    pairs: int
    steps: int
    new_tokens: int
    rank: int
    threads: int
    seed: int = 0
    lr: float = 1e-4
    dtype: str = "auto"

    @property
    def recipe(self) -> Recipe:
        """The same step as a recipe of this library, with its defaults for everything that is not named here."""
        tables: dict[str, Any] = {
            "name": "bench",
            "seed": self.seed,
            "model": {"id": self.model, "dtype": self.dtype, "device": "cpu"},
            "lora": {"rank": self.rank, "alpha": 2.0 * self.rank},
            "data": {"train": self.data},
            "sampling": {"max_new_tokens": self.new_tokens},
            "method": {"name": "opct"},
            "optim": {"lr": self.lr},
            "train": {"pairs_per_step": self.pairs, "steps": self.steps},
        }
        return Recipe.from_dict(tables)


def write_work_pairs(path: Path, count: int) -> None:
    """Write arithmetic questions with wrong hints in all training families, one pair an item.

    Raises:
        ConfigError: more pairs than there are items.
    """
    available = len(arithmetic_items())
    if count > available:
        raise ConfigError(f"{count} pairs are needed (pairs a step x steps), but there are {available}; take fewer")
    write_pairs(path, build_pairs(arithmetic_items(count), TRAIN_FAMILIES, per_item=1))


def arms_for(names: Sequence[str] | None, pairs: int, micro_batch: int) -> list[str]:
    """Return the arms that can be run; micro-batches must divide the step evenly and be smaller than it.

    Raises:
        ConfigError: an unknown arm.
    """
    divides = pairs % micro_batch == 0 and pairs > micro_batch
    return choose(names, [name for name in TITLES if name != TRL_PARTS or divides], OURS)
