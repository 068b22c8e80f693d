"""One step at one point, in a process of its own: seconds and peak memory of each part."""

from __future__ import annotations

import gc
import statistics
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.child import Clock, Control, add_adapter, forget_peak, rss
from bench.growth.points import PARTS, RANK, Job, Point, intermediate
from unswayed.config.methods import OPCTConfig
from unswayed.core.seeding import rng
from unswayed.core.types import Message, PromptPair, SamplingParams, TokenizedPair
from unswayed.engine.hf.engine import HFEngine
from unswayed.methods import Step
from unswayed.methods.opct import OPCT


def run(job: Job, control: Control) -> None:
    """Measure at the order."""
    control.ready()
    next(control.orders())
    control.report(**measure(job))


def measure(job: Job) -> dict[str, Any]:
    """Return what a point's step takes: memory of the first step, medians of the seconds of those after it."""
    point = job.point
    engine, pairs, method = _engine(point), _pairs(point), OPCT(OPCTConfig(name="opct"))
    params = SamplingParams(max_new_tokens=point.completion, n=point.rollouts)
    gc.collect()
    clock, ready = Clock(peaks=True), rss()
    clock.time_engine(engine)
    seconds: list[dict[str, float]] = []
    peaks: list[dict[str, int]] = []
    for number in range(1 + job.steps):
        clock.start()
        collected = method.collect(pairs, engine, Step(0, number, params))
        if collected.batch.tokens != point.tokens:
            raise AssertionError(f"{collected.batch.tokens} tokens instead of {point.tokens}")
        with clock.phase("learn"):
            sums = engine.forward_backward(collected.batch, method.loss)
        with clock.phase("optim"):
            engine.optim_step(1e-4, sums.count, 1.0)
            engine.publish()
        seconds.append({part: clock.seconds[part] for part in PARTS})
        peaks.append({part: max(0, (clock.peaks or {})[part] - ready) for part in PARTS})
    whole = [sum(step.values()) for step in seconds[1:]]
    return {
        **point.facts(),
        "parameters": sum(weight.numel() for weight in engine.model.parameters() if not weight.requires_grad),
        "memory": peaks[0],
        "peak": max(peaks[0].values()),
        "peak_known": forget_peak(),
        "seconds": {part: statistics.median(step[part] for step in seconds[1:]) for part in PARTS},
        "step": statistics.median(whole),
        "steps": whole,
    }


def _engine(point: Point) -> HFEngine:
    """Return the training engine on random weights, with an adapter on all linear layers and no token that stops."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=point.vocab, hidden_size=point.hidden, intermediate_size=intermediate(point.hidden),
        num_hidden_layers=point.layers, num_attention_heads=point.hidden // 64, num_key_value_heads=point.hidden // 64,
        max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32).requires_grad_(False).eval()
    return HFEngine(add_adapter(base, RANK).eval(), teacher=None, stop_ids=frozenset(), vocab_size=point.vocab)


def _pairs(point: Point) -> list[TokenizedPair]:
    """Return pairs of random prompts of equal length whose two sides differ."""
    source, asked = rng(0, "prompts"), (Message("user", "?"),)
    return [
        TokenizedPair(
            PromptPair(f"pair-{number}", asked, asked),
            *(tuple(source.integers(0, point.vocab, point.prompt).tolist()) for _ in range(2)),
        )
        for number in range(point.pairs)
    ]
