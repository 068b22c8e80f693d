"""Every method in every form, and a tiny engine to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import runs
from unswayed.config.methods import METHOD_CONFIGS
from unswayed.core.types import PairedBatch, SamplingParams
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.hf.load import load_engine
from unswayed.methods import Step
from unswayed.training.prepare import Prepared, prepare

PARAMS = SamplingParams(max_new_tokens=6, n=2)
STOPS = frozenset(range(2, 300, 7))  # the tiny models seldom write their stop token; here one in seven tokens ends

# Zero where both sides are equal: losses that compare two distributions, or two streams of activations.
COMPARING: dict[str, dict[str, Any]] = {
    "opct": {"name": "opct"},
    "opct-jsd": {"name": "opct", "divergence": "jsd", "beta": 0.3},
    "opct-forward": {"name": "opct", "divergence": "forward_kl"},
    "opct-topk": {"name": "opct", "estimator": "topk", "k": 5},
    "opct-half-teacher": {"name": "opct", "teacher_share": 0.5},
    "opct-sequence": {"name": "opct", "aggregation": "sequence"},
    "opct-sampled": {"name": "opct", "estimator": "sampled"},
    "opct-discount": {"name": "opct", "estimator": "sampled", "discount": 0.9, "aggregation": "sequence"},
    "opct-variate": {"name": "opct", "estimator": "sampled", "discount": 0.9, "control_variate": True},
    "opct-clip": {"name": "opct", "estimator": "sampled", "mini_epochs": 2, "clip": 0.2},
    "bct_soft": {"name": "bct_soft"},
    "bct_soft-reverse": {"name": "bct_soft", "divergence": "reverse_kl", "clamp": 2.0},
    "act": {"name": "act"},
    "act-scaled": {"name": "act", "scale": 0.1, "sink_tokens": 3},
}
# Cross-entropy: its gradient is zero there only on average over the teacher's answers.
LABELLED: dict[str, dict[str, Any]] = {
    "bct": {"name": "bct"},
    "bct-sequence": {"name": "bct", "aggregation": "sequence"},
    "sft": {"name": "sft"},
    "sft-target": {"name": "sft", "source": "target"},
    "opct-constant": {"name": "opct", "estimator": "constant", "below": 1.0},
}
METHODS = {**COMPARING, **LABELLED, "opct-constant-below": {"name": "opct", "estimator": "constant", "below": 0.02}}


def names() -> set[str]:
    """Return the names of all methods that a recipe may have."""
    return set(METHOD_CONFIGS)


def load(
    tmp_path: Path, folder: Path, method: dict[str, Any], dtype: str = "float64", **changes: Any
) -> tuple[Prepared, HFEngine]:
    """Return a prepared run and its engine."""
    prepared = prepare(runs.recipe(tmp_path, folder, method=method, model={"dtype": dtype}, **changes))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    engine.stop_ids = STOPS
    return prepared, engine


def shake(engine: HFEngine, scale: float = 0.1) -> None:
    """Give the student's adapter an effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in engine.trainable.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)
    engine.publish()


def collect(prepared: Prepared, engine: HFEngine, number: int = 0, pairs: int = 5) -> PairedBatch:
    """Return the rows of one step over the first pairs."""
    step = Step(0, number, PARAMS, prepared.chat.thinking)
    return prepared.method.collect(prepared.pairs[:pairs], engine, step).batch


def gradients(engine: HFEngine, batch: PairedBatch, prepared: Prepared) -> tuple[float, float, dict[str, torch.Tensor]]:
    """Return total, count and the gradient of every trainable weight."""
    engine.zero_grad()
    sums = engine.forward_backward(batch, prepared.method.loss, prepared.method.view)
    grads = {name: p.grad.clone() for name, p in engine.trainable.items() if p.grad is not None}
    return sums.total, sums.count, grads
