"""The arms: one model each, with and without an adapter, that decodes what it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from bench.child import Control, add_adapter, forget_peak, model_facts, peak, rss, set_adapter
from bench.decode.work import WARM, Work, Workload
from unswayed.core.seeding import seed_at
from unswayed.core.types import SamplingParams
from unswayed.engine.decode.sampler import sample
from unswayed.models import load_model, resolve

Completions = list[list[int]]


def run(work: Work, control: Control, *, ours: bool) -> None:
    """Answer orders, each a name and its arguments: adapt, greedy(load), gap(ids, pair), draw(load, lengths)."""
    model: Any = load_model(resolve(work.model), dtype=work.dtype)
    model.generation_config.eos_token_id = None
    decode = by_sample if ours else by_generate
    control.ready(vocabulary=model.config.vocab_size, dtype=str(model.dtype).removeprefix("torch."))
    for name, *arguments in control.orders():
        if name == "adapt":  # after that the second factor is not zero, as after some training
            adapted = add_adapter(model, work.rank)
            set_adapter(adapted.named_parameters())
            control.report(**model_facts(adapted.eval()))
        elif name == "greedy":
            control.report(completions=decode(model, *arguments, (), greedy=True))
        elif name == "gap":
            control.report(gap=_gap(model, *arguments))
        else:
            decode(model, WARM, [WARM.new] * WARM.prompts)
            forget_peak()
            before, began = rss(), time.perf_counter()
            completions = decode(model, *arguments)
            seconds = time.perf_counter() - began
            control.report(seconds=seconds, lengths=[len(ids) for ids in completions], peak_above=peak() - before)


def _gap(model: Any, ids: Sequence[int], pair: Sequence[int]) -> float:
    """Return how far apart two tokens are after these ids, in nats."""
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([list(ids)])).logits[0, -1].float().log_softmax(-1)
    return abs(float(scores[pair[0]] - scores[pair[1]]))


def by_sample(model: Any, load: Workload, lengths: Sequence[int], *, greedy: bool = False) -> Completions:
    """Decode with this library's own loop."""
    vocabulary = model.config.vocab_size
    prompts = load.ids(vocabulary)
    params = SamplingParams(max_new_tokens=load.new, n=load.n, temperature=0.0 if greedy else load.temperature)
    seeds = [[seed_at(0, "bench", i, j) for j in range(load.n)] for i in range(len(prompts))]
    stop = frozenset(load.stop_ids(vocabulary))
    draws = sample(model.model, model.lm_head, prompts, params, seeds=seeds, stop_ids=stop)
    return [list(draw.completion_ids) for row in draws for draw in row]


def by_generate(model: Any, load: Workload, lengths: Sequence[int], *, greedy: bool = False) -> Completions:
    """Decode with one left-padded call of `generate`; each row ends at its length in `lengths`."""
    torch.manual_seed(0)
    prompts = [prompt for prompt in load.ids(model.config.vocab_size) for _ in range(load.n)]
    longest = max(map(len, prompts))
    limits = torch.tensor(list(lengths) or [load.new] * len(prompts))

    def ended(so_far: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return so_far.shape[1] - longest >= limits

    drawn: dict[str, Any] = {"do_sample": False}
    if not greedy:
        drawn = {"do_sample": True, "temperature": load.temperature, "top_k": 0, "top_p": 1.0}
    out = model.generate(
        input_ids=torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts]),
        attention_mask=torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        max_new_tokens=load.new,
        pad_token_id=0,
        stopping_criteria=[ended],
        **drawn,
    )
    return [row[:limit] for row, limit in zip(out[:, longest:].tolist(), limits.tolist(), strict=True)]
