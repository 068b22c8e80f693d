"""The methods that are compared, and the one budget that all of them have.

Every arm takes `STEPS` optimizer steps on an adapter of the same shape and may draw completions for about `DRAWS`
prompts to learn from, each at most `NEW_TOKENS` long. An arm that draws k completions to choose one labels 1/k of the
pairs and sees them k times; an arm that makes u updates of a batch draws batches u times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL = "smollm2-135m"
STEPS, PAIRS, NEW_TOKENS, RANK = 12, 8, 24, 16
DRAWS = STEPS * PAIRS
RATES = (1e-4, 3e-4, 1e-3)
"""Learning rates tried for each arm: the whole of its tuning."""


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: short, unique.
        title: for tables.
        method: the recipe's method table.
        updates: optimizer steps for each batch that is drawn.
        labeller: the labelling recipe's table, where labels are made first and `sft` follows.
        draws: completions that the labeller draws for each pair.
        rate_of: the arm whose tuned learning rate it takes; its own where empty.
    """

    name: str
    title: str
    method: Mapping[str, Any]
    updates: int = 1
    labeller: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 1
    rate_of: str = ""

    @property
    def pairs(self) -> int:
        """Pairs that are labelled first; all of the budget for the methods that draw as they train."""
        return DRAWS // self.draws


TARGETS = {"name": "sft", "source": "target"}


def _labelled(name: str, title: str, draws: int, **settings: Any) -> Arm:
    return Arm(name, title, TARGETS, labeller={"name": name, **settings}, draws=draws, rate_of="self_training")


_GRADE = {"kind": "grade", "critique": False}
ARMS = {
    arm.name: arm
    for arm in (
        Arm("opct", "OPCT, exact", {"name": "opct"}),
        Arm("bct", "BCT, hard label", {"name": "bct"}),
        Arm("bct_soft", "BCT, soft", {"name": "bct_soft"}),
        Arm("act", "ACT", {"name": "act"}),
        Arm("opct_sampled", "OPCT, sampled token", {"name": "opct", "estimator": "sampled", "discount": 0.9}),
        Arm("opct_topk", "OPCT, top 20 and tail", {"name": "opct", "estimator": "topk", "k": 20}),
        Arm(
            "opct_clipped",
            "OPCT, 4 clipped updates",
            {"name": "opct", "estimator": "sampled", "mini_epochs": 4, "clip": 0.2, "control_variate": True},
            updates=4,
        ),
        Arm("self_training", "greedy self-training", TARGETS, labeller={"name": "self_training"}),
        _labelled("self_confidence", "self-confidence", 4, k=4, temperature=0.7, top_p=0.9),
        _labelled("random_selection", "random selection", 4, k=4, temperature=0.7),
        _labelled("self_rewarding", "self-rewarding", 4, k=4, temperature=0.7, scorer=_GRADE),
        _labelled("diverse_decoding", "diverse decoding", 3, scorer=_GRADE),
        _labelled("multi_view", "multi-view", 3, judge={"kind": "match"}),
        _labelled("self_refinement", "self-refinement", 2),
        _labelled("self_distillation", "self-distillation", 1),
    )
}


def train_recipe(arm: Arm, *, pairs: str, folder: str, seed: int, rate: float) -> dict[str, Any]:
    """Return the recipe of one run as plain data."""
    return {
        "name": "run",
        "seed": seed,
        "model": {"id": MODEL, "dtype": "float32", "device": "cpu"},
        "data": {"train": pairs},
        "lora": {"rank": RANK, "alpha": 2.0 * RANK},
        "sampling": {"max_new_tokens": NEW_TOKENS},
        "method": dict(arm.method),
        "optim": {"lr": rate},
        "train": {"steps": STEPS // arm.updates, "pairs_per_step": PAIRS * arm.updates, "micro_batch": 8},
        "save": {"dir": folder, "every_steps": STEPS},
    }


def label_recipe(arm: Arm, *, pairs: str, seed: int) -> dict[str, Any]:
    """Return the labelling recipe of one run as plain data."""
    return {
        "seed": seed,
        "model": {"id": MODEL, "dtype": "float32", "device": "cpu"},
        "data": {"train": pairs},
        "labeller": dict(arm.labeller),
        "max_new_tokens": NEW_TOKENS,
        "eval_max_new_tokens": NEW_TOKENS,
    }
