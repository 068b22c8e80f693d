"""The children: one model each, with and without an adapter, that decode what they are told to."""

from __future__ import annotations

import time
from typing import Any

import torch

from bench.decode.work import GENERATE, WARM, Order, Work, Workload
from bench.step import worker
from bench.step.worker import Control, model_facts, set_adapter
from unswayed.core.seeding import seed_at
from unswayed.core.types import SamplingParams
from unswayed.engine.decode.sampler import sample
from unswayed.models import load_model, resolve

Completions = list[list[int]]


def run(work: Work, control: Control, *, way: str) -> None:
    """Follow orders until the parent goes away."""
    model: Any = load_model(resolve(work.model), dtype=work.dtype)
    model.generation_config.eos_token_id = None
    decode = by_generate if way == GENERATE else by_sample
    control.ready({"vocabulary": model.config.vocab_size, "dtype": str(model.dtype).removeprefix("torch.")})
    while True:
        order: Order = control.pipe.recv()
        if order.kind == "adapt":
            adapted = _adapt(model, work.rank)
            control.report(**model_facts(adapted))
        elif order.kind == "gap":
            control.report(gap=_gap(model, order))
        elif order.kind == "greedy":
            control.report(completions=decode(model, order, greedy=True))
        else:
            decode(model, Order("run", WARM, lengths=[WARM.new] * WARM.prompts), greedy=False)
            control.report(**_timed(decode, model, order))


def _timed(decode: Any, model: Any, order: Order) -> dict[str, Any]:
    worker.forget_peak()
    before = worker.rss()
    began = time.perf_counter()
    completions = decode(model, order, greedy=False)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "lengths": [len(ids) for ids in completions], "peak_above": worker.peak() - before}


def _adapt(model: Any, rank: int) -> Any:
    """Inject the same adapter into any arm's model. Its second factor is not zero, as after some training."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    set_adapter(adapted.named_parameters())
    return adapted.eval()


def _gap(model: Any, order: Order) -> float:
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([list(order.prefix)])).logits[0, -1].float().log_softmax(-1)
    one, other = order.pair
    return abs(float(scores[one] - scores[other]))


def by_sample(model: Any, order: Order, *, greedy: bool) -> Completions:
    """Decode with this library's own loop."""
    load, vocabulary = order.workload, model.config.vocab_size
    prompts = load.ids(vocabulary)
    params = SamplingParams(max_new_tokens=load.new, n=load.n, temperature=0.0 if greedy else load.temperature)
    seeds = [[seed_at(order.seed, "bench", i, j) for j in range(load.n)] for i in range(len(prompts))]
    stop = frozenset(load.stop_ids(vocabulary))
    draws = sample(model.model, model.lm_head, prompts, params, seeds=seeds, stop_ids=stop)
    return [list(draw.completion_ids) for row in draws for draw in row]


def by_generate(model: Any, order: Order, *, greedy: bool) -> Completions:
    """Decode with one left-padded call of `generate`; each row ends where it is told to."""
    load = order.workload
    torch.manual_seed(order.seed)
    ids, mask = _left_padded(load, model.config.vocab_size)
    longest = ids.shape[1]
    limits = torch.tensor(list(order.lengths) or [load.new] * len(ids))

    def ended(so_far: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return so_far.shape[1] - longest >= limits

    drawn: dict[str, Any] = {"do_sample": False}
    if not greedy:
        drawn = {"do_sample": True, "temperature": load.temperature, "top_k": 0, "top_p": 1.0}
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=load.new,
        pad_token_id=0,
        stopping_criteria=[ended],
        **drawn,
    )
    return [row[:limit] for row, limit in zip(out[:, longest:].tolist(), limits.tolist(), strict=True)]


def _left_padded(load: Workload, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    prompts = [prompt for prompt in load.ids(vocabulary) for _ in range(load.n)]
    longest = max(map(len, prompts))
    ids = [[0] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)
