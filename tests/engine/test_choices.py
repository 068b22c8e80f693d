"""Log-probabilities of continuations equal the dense float64 ones, whatever is batched, padded or shared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from families import CONFIGS, SHAPE, V, build
from transformers import AutoModelForCausalLM, HyperCLOVAXConfig

from unswayed.core.errors import ConfigError, NotFiniteError
from unswayed.engine.decode import loglikelihood as choices
from unswayed.engine.decode.loglikelihood import continuation_logprobs

NAMES = (
    "llama",
    "qwen2",
    "qwen2-windows",
    "mistral-window",
    "mistral-wide-window",
    "gemma2",
    "gemma3",
    "granite",
    "cohere",
)


def questions(count: int, seed: int, longest: int) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Ragged prompts, each with two to four continuations of up to `longest` tokens."""
    draw = random.Random(seed)

    def ids(low: int, high: int) -> list[int]:
        return [draw.randrange(V) for _ in range(draw.randint(low, high))]

    return [ids(1, 25) for _ in range(count)], [
        [ids(1, longest) for _ in range(draw.randint(2, 4))] for _ in range(count)
    ]


@torch.no_grad()
def dense(model: Any, prompt: Sequence[int], continuation: Sequence[int], vocab: int = V) -> float:
    """The sum of log-probabilities from the model's own logits of one row alone, no padding, no cache."""
    logits = model(input_ids=torch.tensor([[*prompt, *continuation]])).logits[0, :, :vocab]
    logprobs = torch.log_softmax(logits, -1)
    return sum(float(logprobs[len(prompt) - 1 + place, id_]) for place, id_ in enumerate(continuation))


def weigh(model: Any, prompts: Any, continuations: Any, **options: Any) -> list[list[float]]:
    return continuation_logprobs(model.model, model.lm_head, prompts, continuations, **options)


@pytest.mark.parametrize("longest", [1, 6])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_dense_computation_of_each_row_alone(name: str, longest: int) -> None:
    model = build(name)
    prompts, continuations = questions(9, seed=longest, longest=longest)
    found = weigh(model, prompts, continuations)
    assert [len(row) for row in found] == [len(own) for own in continuations]
    for prompt, own, values in zip(prompts, continuations, found, strict=True):
        assert values == pytest.approx([dense(model, prompt, ids) for ids in own], abs=1e-9)


@pytest.mark.parametrize("options", [{"batch_tokens": 1}, {"batch_tokens": 90}, {"share": False}])
def test_batching_and_sharing_change_nothing_but_rounding(options: dict[str, Any]) -> None:
    model = build("llama")
    prompts, continuations = questions(12, seed=5, longest=5)
    one, other = weigh(model, prompts, continuations), weigh(model, prompts, continuations, **options)
    for left, right in zip(one, other, strict=True):
        assert left == pytest.approx(right, abs=1e-11)


def test_a_neighbour_and_its_padding_change_nothing() -> None:
    model = build("llama")
    prompts, continuations = questions(2, seed=7, longest=4)
    alone = weigh(model, prompts[:1], continuations[:1])[0]
    crowded = weigh(model, [prompts[0], prompts[1] * 9], [continuations[0], [ids * 6 for ids in continuations[1]]])[0]
    assert crowded == pytest.approx(alone, abs=1e-11)


def test_letters_take_one_pass_over_each_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    prompts, _ = questions(6, seed=2, longest=1)
    shapes: list[tuple[int, ...]] = []
    real = model.model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        return real(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", watched)
    monkeypatch.setattr(choices, "attention_windows", lambda *_: {"full_attention": None})
    weigh(model, prompts, [[[1], [2], [3], [4]]] * 6)
    assert shapes == [(6, max(map(len, prompts)))]
    shapes.clear()
    weigh(model, prompts, [[[1], [2, 5], [3, 6, 7]]] * 6)
    assert shapes == [(6, max(map(len, prompts))), (18, 2)]


def test_no_pass_is_larger_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    prompts, continuations = questions(20, seed=3, longest=5)
    seen: list[int] = []
    real = choices.pad
    monkeypatch.setattr(
        choices, "pad", lambda rows, device: seen.append(len(rows) * max(map(len, rows))) or real(rows, device)
    )
    weigh(model, prompts, continuations, batch_tokens=200)
    assert max(seen) <= 200
    assert len(seen) > 4


def test_padding_rows_of_the_embedding_are_no_tokens() -> None:
    model = build("llama")
    prompts, continuations = [[3, 4, 5]], [[[1, 2], [7]]]
    found = weigh(model, prompts, continuations, vocab_size=30)[0]
    assert found == pytest.approx([dense(model, [3, 4, 5], ids, vocab=30) for ids in continuations[0]], abs=1e-10)
    assert found != pytest.approx(weigh(model, prompts, continuations)[0], abs=1e-3)


def test_all_single_tokens_together_have_probability_one() -> None:
    model = build("qwen2")
    values = weigh(model, [[3, 4, 5]], [[[id_] for id_ in range(V)]])[0]
    assert float(torch.tensor(values, dtype=torch.float64).exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("prompts", "continuations", "message"),
    [
        ([[]], [[[1]]], "empty"),
        ([[1]], [[]], "empty"),
        ([[1]], [[[2], []]], "empty"),
        ([[1]], [[[V]]], f"holds ids from 1 to {V}"),
        ([[-1]], [[[1]]], "holds ids from -1 to 1"),
        ([[1], [2]], [[[1]]], "2 prompts"),
    ],
)
def test_what_cannot_be_weighed_is_refused(prompts: Any, continuations: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weigh(build("llama"), prompts, continuations)


def test_nothing_asked_is_nothing_answered() -> None:
    assert weigh(build("llama"), [], []) == []


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(HyperCLOVAXConfig(**SHAPE, logits_scaling=5.0))
    with pytest.raises(ConfigError, match="changes its logits"):
        weigh(model, [[1, 2]], [[[3]]])


def test_a_weight_that_is_not_a_number_is_named() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    with torch.no_grad():
        model.model.embed_tokens.weight[9] = float("nan")
    with pytest.raises(NotFiniteError, match="continuation 0 of prompt 1"):
        weigh(model, [[1, 2, 3], [9]], [[[3]], [[4]]], batch_tokens=1)
