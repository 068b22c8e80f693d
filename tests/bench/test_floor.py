"""The floor counted by hand, and against what torch counts for a real forward pass."""

from __future__ import annotations

import pytest
from bench.floor import Pass, Rows, Shape, floor, learn_passes, optim_passes, sample_passes, teacher_passes

SHAPE = Shape(body=100, adapter=10, head=40, layers=2, attention_width=3, kv_width=1, bytes=2)
NO_ATTENTION = Shape(body=100, adapter=10, head=40, layers=0, attention_width=3, kv_width=1, bytes=2)


def test_prompts_share_what_they_begin_with() -> None:
    rows = Rows(prompts=[5, 7], shared=3, completions=[1, 1])
    assert rows.prompt_tokens == 3 + 2 + 4
    (only,) = sample_passes(NO_ATTENTION, rows)
    assert only == Pass(2 * (110 * 9 + 40 * 2), 140 * 2 + 40)


def test_rows_that_ended_are_not_decoded() -> None:
    passes = sample_passes(NO_ATTENTION, Rows(prompts=[5, 7], shared=0, completions=[1, 3]))
    assert [one.flops for one in passes] == [2 * (110 * 12 + 80), 2 * 150, 2 * 150]


def test_decoding_reads_keys_and_values_of_all_earlier_tokens() -> None:
    passes = sample_passes(SHAPE, Rows(prompts=[5], shared=0, completions=[3]))
    # Keys and values, of each layer, two bytes a number.
    assert [one.bytes - (140 * 2 + 40) for one in passes] == [0, 2 * 2 * 1 * 6 * 2, 2 * 2 * 1 * 7 * 2]
    # Scores and the sum over values: 4 operations for each layer, channel and key.
    assert passes[1].flops == 2 * 150 + 4 * 2 * 3 * 6
    assert passes[0].flops == 2 * (110 * 5 + 40) + 4 * 2 * 3 * (1 + 2 + 3 + 4 + 5)


def test_the_last_token_is_never_an_input_of_scoring() -> None:
    (teacher,) = teacher_passes(NO_ATTENTION, Rows(prompts=[5, 7], shared=0, completions=[2, 3]))
    assert teacher == Pass(2 * 100 * (6 + 9), 200)


def test_learning_counts_both_logits_and_no_gradient_of_frozen_weights() -> None:
    forward, backward = learn_passes(NO_ATTENTION, Rows(prompts=[5], shared=0, completions=[2]))
    assert forward.flops == 2 * 110 * 6 + 2 * (2 * 40 * 2)
    assert backward.flops == (2 * 100 + 4 * 10) * 6 + 2 * 40 * 2


def test_each_pass_is_bound_by_the_slower_of_its_two_rates() -> None:
    rows = Rows(prompts=[5], shared=0, completions=[3])
    found = floor(SHAPE, rows, rows, flops=1000.0, bandwidth=100.0)
    passes = sample_passes(SHAPE, rows)
    assert found["sample"]["seconds"] == pytest.approx(sum(max(one.flops / 1000, one.bytes / 100) for one in passes))
    assert found["optim"]["seconds"] == pytest.approx(optim_passes(SHAPE)[0].bytes / 100)
    assert found["sample"]["flops"] == sum(one.flops for one in passes)


def test_the_forward_pass_of_a_real_model_is_counted_as_torch_counts_it() -> None:
    import torch
    from bench.child import model_facts
    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode

    import tiny

    model = get_peft_model(tiny.llama(), LoraConfig(r=4, target_modules="all-linear"))
    shape = Shape(**model_facts(model)["shape"])
    prompt, length = 9, 4
    ids = torch.arange(prompt + length - 1)[None]
    with FlopCounterMode(display=False) as counter, model.disable_adapter(), torch.no_grad():
        model.get_base_model().model(input_ids=ids)
    counted = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    products = sum(count for op, count in counted.items() if op in {"aten.mm", "aten.addmm"})
    (teacher,) = teacher_passes(shape, Rows([prompt], 0, [length]))
    tokens = prompt + length - 1
    assert products == 2 * shape.body * tokens
    assert teacher.flops == products + 4 * shape.layers * shape.attention_width * tokens * (tokens + 1) / 2
