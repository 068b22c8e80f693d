"""The decode loop against other ways to the same answer: `generate`, a plain forward pass, one row at a time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from families import CONFIGS, SHAPE, V, build
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

import tiny
from unswayed.core.errors import ConfigError, NotFiniteError
from unswayed.core.seeding import seed_at
from unswayed.core.types import SamplingParams
from unswayed.engine.decode import sampler
from unswayed.engine.decode.sampler import Draw, sample


def ragged(count: int, seed: int = 0, low: int = 1, high: int = 30, prefix: Sequence[int] = ()) -> list[list[int]]:
    source = random.Random(seed)
    return [[*prefix, *(source.randrange(V) for _ in range(source.randint(low, high)))] for _ in range(count)]


def draw(
    model: Any, prompts: Sequence[Sequence[int]], *, stop: Sequence[int] = (), seed: int = 0, **options: Any
) -> list[list[Draw]]:
    passed = {name: options.pop(name) for name in ("batch_rows", "vocab_size", "seeds") if name in options}
    params = SamplingParams(**{"max_new_tokens": 20, **options})
    seeds = passed.pop("seeds", None) or [
        [seed_at(seed, "rollout", i, j) for j in range(params.n)] for i in range(len(prompts))
    ]
    return sample(model.model, model.lm_head, prompts, params, seeds=seeds, stop_ids=frozenset(stop), **passed)


def same(one: list[list[Draw]], other: list[list[Draw]], tolerance: float = 1e-10) -> None:
    """Equal ids and finishes, log-probabilities equal but for rounding."""
    for left, right in zip(chain(*one), chain(*other), strict=True):
        assert (left.completion_ids, left.finish) == (right.completion_ids, right.finish)
        assert left.logprobs == pytest.approx(right.logprobs, abs=tolerance)


def generate(model: Any, prompts: Sequence[Sequence[int]], stop: Sequence[int], new: int) -> list[tuple[int, ...]]:
    """Transformers' own greedy completions of a left-padded batch, cut after the first stop token."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=new,
        pad_token_id=0,
        eos_token_id=list(stop) or None,
    )
    found = []
    for row in out[:, longest:].tolist():
        ends = [t for t, token in enumerate(row) if token in stop]
        found.append(tuple(row[: ends[0] + 1] if ends else row))
    return found


def one_by_one(model: Any, prompts: Sequence[Sequence[int]], stop: Sequence[int], new: int) -> list[tuple[int, ...]]:
    return [generate(model, [prompt], stop, new)[0] for prompt in prompts]


@pytest.mark.parametrize("prefix", [(), tuple(range(12))], ids=["apart", "shared prefix"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_greedy_equals_generate(name: str, prefix: tuple[int, ...]) -> None:
    model = build(name)
    prompts = ragged(9, seed=1, prefix=prefix)
    # In float64, eager attention turns left padding into NaN (its mask overflows the float32 softmax).
    reference = one_by_one if name.endswith("eager") else generate
    free = reference(model, prompts, (), 18)
    assert len({ids for row in free for ids in row}) > 5, "the model must not repeat one token"
    stop = (free[0][3], free[1][11])
    expected = reference(model, prompts, stop, 18)
    assert len({len(row) for row in expected}) > 2, "rows must end at different steps"
    for rows in (None, 4, 1):
        got = draw(model, prompts, stop=stop, temperature=0.0, max_new_tokens=18, batch_rows=rows)
        assert [row[0].completion_ids for row in got] == expected
        for (row,) in got:
            assert row.finish == ("stop" if row.completion_ids[-1] in stop else "length")
            assert len(row.logprobs) == len(row.completion_ids)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_logprobs_are_the_policys_own(name: str) -> None:
    model = build(name)
    prompts = ragged(6, seed=2, prefix=range(10))
    got = draw(model, prompts, n=2, temperature=1.7, top_k=30, top_p=0.95, batch_rows=5)
    for prompt, draws in zip(prompts, got, strict=True):
        for one in draws:
            ids = torch.tensor([[*prompt, *one.completion_ids]])
            with torch.no_grad():
                logprobs = model(input_ids=ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
            expected = logprobs.gather(-1, torch.tensor(one.completion_ids)[:, None])[:, 0]
            tolerance = 1e-5 if name.endswith("eager") else 1e-10  # eager attention has a float32 softmax
            assert one.logprobs == pytest.approx(expected.tolist(), abs=tolerance)


def test_a_rollout_depends_on_its_prompt_and_seed_only() -> None:
    model = build("llama")
    prompts = ragged(7, seed=3, prefix=range(9))
    stop = (5, 6)
    whole = draw(model, prompts, stop=stop, n=3)
    assert {one.finish for row in whole for one in row} == {"stop", "length"}
    for rows in (1, 5, 21, 100):
        same(draw(model, prompts, stop=stop, n=3, batch_rows=rows), whole)
    seeds = [[seed_at(0, "rollout", i, j) for j in range(3)] for i in range(7)]
    order = [4, 0, 6, 2, 5, 1, 3]
    shuffled = draw(model, [prompts[i] for i in order], stop=stop, n=3, seeds=[seeds[i] for i in order])
    same(shuffled, [whole[i] for i in order])
    for index, prompt in enumerate(prompts):  # alone: no shared prefix, no neighbours
        same(draw(model, [prompt], stop=stop, n=3, seeds=[seeds[index]]), [whole[index]])
    # One prefill for three rollouts equals three separate calls; equal prompts in different places share it too.
    separate = [draw(model, prompts, stop=stop, seeds=[[own[j]] for own in seeds]) for j in range(3)]
    same([[calls[0] for calls in row] for row in zip(*separate, strict=True)], whole)
    same(draw(model, [prompts[2]] * 3, stop=stop, seeds=[[one] for one in seeds[2]]), [[one] for one in whole[2]])


def test_memory_never_written_is_never_read() -> None:
    model = build("llama")
    prompts = ragged(7, seed=11, low=2, high=60)
    options: dict[str, Any] = {"stop": (5, 6), "n": 2, "batch_rows": 6, "max_new_tokens": 30}  # into a second band
    before = draw(model, prompts, **options)
    torch.use_deterministic_algorithms(True)  # fills memory that nobody initialised with NaN
    try:
        assert torch.empty(1).isnan().all()
        same(draw(model, prompts, **options), before, 0.0)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_longer_limit_continues_the_same_completion() -> None:
    model = build("llama")
    prompts = ragged(4, seed=4)
    short = draw(model, prompts, max_new_tokens=6)
    long = draw(model, prompts, max_new_tokens=15)
    for (one,), (two,) in zip(short, long, strict=True):
        assert one.completion_ids == two.completion_ids[:6]
        assert one.finish == two.finish == "length"


def test_stop_token_is_kept_once_and_ends_the_row() -> None:
    model = build("llama")
    stop = (0, 1, 2, 3, 4, 5, 6, 7)
    got = draw(model, ragged(20, seed=5), stop=stop, n=2, max_new_tokens=12)
    stopped = [one for row in got for one in row if one.finish == "stop"]
    assert len(stopped) > 20
    for one in stopped:
        assert one.completion_ids[-1] in stop
        assert not set(one.completion_ids[:-1]) & set(stop)
    for one in (one for row in got for one in row if one.finish == "length"):
        assert len(one.completion_ids) == 12
        assert not set(one.completion_ids) & set(stop)


def test_every_prompt_prefilled_once_and_the_prefix_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    passes: list[tuple[int, int]] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: passes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    heads: list[int] = []
    head_hook = model.lm_head.register_forward_pre_hook(lambda module, args: heads.append(args[0].numel() // 24))
    try:
        draw(model, ragged(3, seed=6, low=5, high=5, prefix=range(20)), n=4, max_new_tokens=5)
    finally:
        hook.remove()
        head_hook.remove()
    assert passes == [(1, 20), (3, 5), (12, 1), (12, 1), (12, 1), (12, 1)]
    assert heads == [3, 12, 12, 12, 12], "the head sees last positions only"


def test_finished_rows_leave_the_batch() -> None:
    model = build("llama")
    prompts = ragged(10, seed=7)
    stop = tuple(range(8))
    passes: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: passes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        got = draw(model, prompts, stop=stop, max_new_tokens=30)
    finally:
        hook.remove()
    fed = sum(len(one.completion_ids) - 1 for row in got for one in row)
    assert sum(passes[1:]) == fed, "a row is fed its own tokens and nothing after them"


def test_shipped_generation_defaults_are_ignored() -> None:
    model = build("llama")
    prompts = ragged(6, seed=8)
    before = draw(model, prompts, n=4)
    kept = model.generation_config.to_dict()
    try:
        model.generation_config.update(
            top_k=1, temperature=0.01, repetition_penalty=5.0, eos_token_id=1, do_sample=True
        )
        same(draw(model, prompts, n=4), before, 0.0)
    finally:
        model.generation_config.update(**kept)
    assert len({one.completion_ids for row in before for one in row}) == 24


def test_padded_vocabulary_is_neither_sampled_nor_counted() -> None:
    model = build("llama")
    prompts = ragged(8, seed=9)
    got = draw(model, prompts, n=4, vocab_size=7, temperature=1.5)
    ids = {token for row in got for one in row for token in one.completion_ids}
    assert ids == set(range(7))
    one = got[0][0]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompts[0]])).logits[0, -1, :7]
    assert one.logprobs[0] == pytest.approx(logits.log_softmax(-1)[one.completion_ids[0]].item(), abs=1e-10)


def test_injected_adapter_is_respected() -> None:
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).to(torch.float64)
    tiny.fill(model, 3)
    prompts = ragged(6, seed=10)
    plain = draw(model, prompts, temperature=0.0)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5))
    tiny.fill(wrapped, 5, 0.3)
    for module in wrapped.modules():
        module.training = True
    adapted = draw(wrapped.base_model.model, prompts, temperature=0.0)
    assert all(module.training for module in wrapped.modules())
    wrapped.eval()
    assert [row[0].completion_ids for row in adapted] == generate(wrapped, prompts, (), 20), "dropout was off"
    with wrapped.disable_adapter():
        off = draw(wrapped.base_model.model, prompts, temperature=0.0)
        assert [row[0].completion_ids for row in off] == generate(wrapped, prompts, (), 20)
    assert off != adapted
    assert plain != adapted


def test_modes_come_back_module_by_module_even_after_an_error() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    seen: list[bool] = []
    hook = model.model.layers[0].register_forward_pre_hook(lambda module, args: seen.append(module.training))
    draw(model, [[1, 2]])
    hook.remove()
    assert seen
    assert not any(seen)
    assert [module.training for module in model.modules()] == modes
    torch.nn.init.constant_(model.lm_head.weight, math.nan)
    with pytest.raises(NotFiniteError):
        draw(model, [[1, 2]])
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_not_finite_name_the_row(bad: float, temperature: float) -> None:
    model = build("llama")
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]

    def poison(module: torch.nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        if len(calls) == 2:
            out[1, 17] = bad
        calls.append(len(out))
        return out

    calls: list[int] = []
    hook = model.lm_head.register_forward_hook(poison)
    try:
        # Longest first: row 1 of the batch is prompt 0. The third use of the head chooses token 2.
        with pytest.raises(NotFiniteError, match="prompt 0, rollout 0, token 2 "):
            draw(model, prompts, temperature=temperature)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": [[1], []]}, "prompt 1 is empty"),
        ({"prompts": [[1, V]]}, f"ids from 1 to {V}"),
        ({"prompts": [[-1]]}, "ids from -1"),
        ({"max_new_tokens": 0}, "max_new_tokens = 0"),
        ({"n": 2, "temperature": 0.0}, "2 identical completions"),
        ({"n": 0}, "n = 0"),
        ({"temperature": -1.0}, "temperature = -1"),
        ({"temperature": math.nan}, "temperature = nan"),
        ({"top_p": 0.0}, "top_p = 0"),
        ({"top_p": 1.5}, "top_p = 1.5"),
        ({"top_k": -1}, "top_k = -1"),
        ({"batch_rows": 0}, "batch_rows = 0"),
        ({"seeds": [[1, 2]]}, "has 2 seeds and n = 1"),
        ({"seeds": [[1], [2]]}, "1 prompts but seeds for 2"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw(build("llama"), options.pop("prompts", [[1, 2]]), **options)


def test_no_prompts_give_no_completions() -> None:
    assert draw(build("llama"), []) == []


def refusal(model: Any, body: Any = None, **options: Any) -> str:
    params = SamplingParams(max_new_tokens=options.pop("new", 4))
    with pytest.raises(ConfigError) as caught:
        sample(
            model.model if body is None else body, model.lm_head, [[1, 2]], params, seeds=[[1]], stop_ids=frozenset()
        )
    return str(caught.value)


def test_models_that_would_come_out_wrong_are_refused() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel, GraniteConfig, HyperCLOVAXConfig, MambaConfig

    def causal(config: Any, **options: Any) -> Any:
        return AutoModelForCausalLM.from_config(config, **options)

    # HyperCLOVA X multiplies by the field that Granite divides by.
    assert "logits_scaling = 8" in refusal(causal(HyperCLOVAXConfig(**SHAPE, logits_scaling=8.0)))
    assert "lm_head_multiplier = 2" in refusal(causal(LlamaConfig(**SHAPE, lm_head_multiplier=2.0)))
    assert "flex_attention" in refusal(causal(LlamaConfig(**SHAPE), attn_implementation="flex_attention"))
    assert "does not attend causally" in refusal(causal(Gemma3TextConfig(**SHAPE, use_bidirectional_attention=True)))
    chunked = causal(LlamaConfig(**SHAPE))
    chunked.config.layer_types = ["full_attention", "chunked_attention"]
    assert "chunked_attention" in refusal(chunked)
    llama = causal(LlamaConfig(**SHAPE))
    assert "without its head" in refusal(llama, llama)
    assert "without its head" in refusal(llama, AutoModel.from_config(MambaConfig(vocab_size=V, hidden_size=8)))
    assert "without its head" in refusal(llama, get_peft_model(llama, LoraConfig(r=1, target_modules="all-linear")))
    granite = causal(GraniteConfig(**SHAPE))
    assert len(draw(granite, [[1, 2]])[0][0].completion_ids) == 20


def test_frequencies_that_follow_the_batch_are_refused_only_where_they_change() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(**{**SHAPE, "max_position_embeddings": 30}, rope_parameters=rope)
    )
    assert len(draw(model, [[1, 2]], max_new_tokens=28)[0][0].completion_ids) == 28
    assert "beyond 30 tokens" in refusal(model, new=29)


def test_rows_follow_the_memory_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 2 * 10 * (1000 + 24 * V)

    monkeypatch.setattr(sampler.psutil, "virtual_memory", Memory)
    assert sampler._rows_that_fit(1000, V, torch.device("cpu")) == 10
    assert sampler._rows_that_fit(10**9, V, torch.device("cpu")) == 1
    assert sampler._rows_that_fit(1, 1, torch.device("cpu")) == 128
