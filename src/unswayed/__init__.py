"""Consistency training of language models: train, measure, and prove what the training did.

    import unswayed as uw

    pairs = uw.read_pairs("pairs.jsonl")
    run = uw.train(uw.Recipe.load("recipes/opct.toml"))
    result = uw.evaluate(run.policy, "sycophancy/suggested_answer")

Every public name is below and is imported when it is first used, so `import unswayed` costs nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unswayed._version import __version__

if TYPE_CHECKING:
    from unswayed import losses, organisms, sweep
    from unswayed.api import ACT, BCT, OPCT, SFT, BCTSoft
    from unswayed.attacks.publish import attack
    from unswayed.config.recipe import Recipe
    from unswayed.core import errors
    from unswayed.core.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        Interrupted,
        LockedError,
        NotFiniteError,
        OutOfMemoryError,
        UnswayedError,
    )
    from unswayed.core.types import (
        Completion,
        Effect,
        Estimate,
        Message,
        PromptPair,
        Rollout,
        Sample,
        SamplingParams,
        Score,
        TextPolicy,
    )
    from unswayed.data.read import read_pairs, write_pairs
    from unswayed.engine.named import load_policy
    from unswayed.evals.compare.compare import compare
    from unswayed.evals.registry import suite
    from unswayed.evals.run import evaluate
    from unswayed.perturb.base import perturbation
    from unswayed.training.callbacks import Callback
    from unswayed.training.loop import Run, train

__all__ = [
    "ACT",
    "BCT",
    "OPCT",
    "SFT",
    "BCTSoft",
    "Callback",
    "CheckpointError",
    "Completion",
    "ConfigError",
    "DataError",
    "Effect",
    "Estimate",
    "Interrupted",
    "LockedError",
    "Message",
    "NotFiniteError",
    "OutOfMemoryError",
    "PromptPair",
    "Recipe",
    "Rollout",
    "Run",
    "Sample",
    "SamplingParams",
    "Score",
    "TextPolicy",
    "UnswayedError",
    "__version__",
    "attack",
    "compare",
    "errors",
    "evaluate",
    "load_policy",
    "losses",
    "organisms",
    "perturbation",
    "read_pairs",
    "suite",
    "sweep",
    "train",
    "write_pairs",
]

# Where each public name lives. The modules `errors`, `losses`, `organisms` and `sweep` are public themselves.
_HOMES = {
    "unswayed.api": ("ACT", "BCT", "OPCT", "SFT", "BCTSoft"),
    "unswayed.attacks.publish": ("attack",),
    "unswayed.config.recipe": ("Recipe",),
    "unswayed.data.read": ("read_pairs", "write_pairs"),
    "unswayed.core.errors": (
        "CheckpointError",
        "ConfigError",
        "DataError",
        "Interrupted",
        "LockedError",
        "NotFiniteError",
        "OutOfMemoryError",
        "UnswayedError",
    ),
    "unswayed.evals.compare.compare": ("compare",),
    "unswayed.evals.run": ("evaluate",),
    "unswayed.evals.registry": ("suite",),
    "unswayed.perturb.base": ("perturbation",),
    "unswayed.engine.named": ("load_policy",),
    "unswayed.training.callbacks": ("Callback",),
    "unswayed.training.loop": ("Run", "train"),
    "unswayed.core.types": (
        "Completion",
        "Effect",
        "Estimate",
        "Message",
        "PromptPair",
        "Rollout",
        "Sample",
        "SamplingParams",
        "Score",
        "TextPolicy",
    ),
}
_MODULES = {
    "errors": "unswayed.core.errors",
    "losses": "unswayed.losses",
    "organisms": "unswayed.organisms",
    "sweep": "unswayed.sweep",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'unswayed' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
