"""One step at one point, in a process of its own: seconds and peak memory of each part."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.growth.points import Point, intermediate
from bench.step.worker import forget_peak, peak, rss

PARTS = ("sample", "teacher", "learn", "optim")
RANK = 16


def measure(job: tuple[Point, int, int]) -> dict[str, Any]:
    """Return what a point's step takes: memory of the first step, medians of the seconds of those after it."""
    point, threads, steps = job
    import torch

    from unswayed.config.methods import OPCTConfig
    from unswayed.core.types import SamplingParams
    from unswayed.methods import Step
    from unswayed.methods.opct import OPCT

    torch.set_num_threads(threads)
    engine, pairs = _engine(point), _pairs(point)
    method = OPCT(OPCTConfig(name="opct"))
    params = SamplingParams(max_new_tokens=point.completion, n=point.rollouts)
    gc.collect()
    meter = _Meter(rss(), forget_peak())
    setattr(engine, "sample", meter.timed("sample", engine.sample))  # noqa: B010
    setattr(engine, "score", meter.timed("teacher", engine.score))  # noqa: B010
    for number in range(1 + steps):
        meter.begin()
        collected = method.collect(pairs, engine, Step(0, number, params))
        if collected.batch.tokens != point.tokens:
            raise AssertionError(f"{collected.batch.tokens} tokens instead of {point.tokens}")
        with meter.part("learn"):
            sums = engine.forward_backward(collected.batch, method.loss)
        with meter.part("optim"):
            engine.optim_step(1e-4, sums.count, 1.0)
            engine.publish()
        meter.end()
    first, *rest = meter.steps
    return {
        **point.facts(),
        "parameters": sum(weight.numel() for weight in engine.body.parameters() if not weight.requires_grad),
        "memory": {part: first[part]["peak"] for part in PARTS},
        "peak": max(first[part]["peak"] for part in PARTS),
        "peak_known": meter.known,
        "seconds": {part: statistics.median(step[part]["seconds"] for step in rest) for part in PARTS},
        "step": statistics.median(sum(step[part]["seconds"] for part in PARTS) for step in rest),
        "steps": [sum(step[part]["seconds"] for part in PARTS) for step in rest],
    }


class _Meter:
    """Seconds of each part, and the peak of resident memory within it above what was there before the first step."""

    def __init__(self, ready: int, known: bool) -> None:
        self.ready, self.known = ready, known
        self.steps: list[dict[str, dict[str, float]]] = []
        self.now: dict[str, dict[str, float]] = {}

    def begin(self) -> None:
        self.now = {}

    def end(self) -> None:
        self.steps.append(self.now)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        forget_peak()
        began = time.perf_counter()
        yield
        self.now[name] = {"seconds": time.perf_counter() - began, "peak": max(0, peak() - self.ready)}

    def timed(self, name: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return wrapper


def _engine(point: Point) -> Any:
    """Return the training engine on random weights, with an adapter on all linear layers and no token that stops."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    from unswayed.engine.hf.engine import HFEngine
    from unswayed.engine.hf.load import quiet_peft

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=point.vocab, hidden_size=point.hidden, intermediate_size=intermediate(point.hidden),
        num_hidden_layers=point.layers, num_attention_heads=point.hidden // 64, num_key_value_heads=point.hidden // 64,
        max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32).requires_grad_(False).eval()
    with quiet_peft():
        lora = LoraConfig(r=RANK, lora_alpha=2.0 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(base, lora)
    return HFEngine(model.eval(), teacher=None, stop_ids=frozenset(), vocab_size=point.vocab)


def _pairs(point: Point) -> list[Any]:
    """Return pairs of random prompts of equal length whose two sides differ."""
    from unswayed.core.seeding import rng
    from unswayed.core.types import Message, PromptPair, TokenizedPair

    draw = rng(0, "prompts")
    asked = (Message("user", "?"),)
    return [
        TokenizedPair(
            PromptPair(f"pair-{number}", asked, asked),
            *(tuple(draw.integers(0, point.vocab, point.prompt).tolist()) for _ in range(2)),
        )
        for number in range(point.pairs)
    ]
