"""The proof at load: shortcuts that give other numbers than Transformers and PEFT are found, named and not taken."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

import runs
import tiny
from unswayed.core.errors import ConfigError, NotFiniteError
from unswayed.core.types import SamplingParams
from unswayed.engine import forward, lora, proof
from unswayed.engine.decode import lean, sampler
from unswayed.engine.hf.adapters import adapter_layers
from unswayed.engine.hf.load import load_engine
from unswayed.engine.lora import fused
from unswayed.engine.proof import prove
from unswayed.engine.ways import Ways
from unswayed.training.prepare import prepare


def _model() -> Any:
    """A tiny model with LoRA as training starts it, its second matrices all zero."""
    torch.manual_seed(0)
    return get_peft_model(tiny.qwen(), LoraConfig(r=2, lora_alpha=4, target_modules="all-linear")).eval()


def _prove(model: Any, trained: bool = True) -> Ways:
    body = model.get_base_model()
    return prove(
        body, body.get_output_embeddings(), tuned=adapter_layers(model), vocab_size=290, trained=trained
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_all_ways_hold_and_nothing_moves(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    model = _model().to(dtype)
    before = {name: (weight.data_ptr(), weight.clone()) for name, weight in model.named_parameters()}
    state = torch.random.get_rng_state()
    assert _prove(model) == Ways()
    assert all(fused(layer) for layer in adapter_layers(model))
    assert torch.equal(state, torch.random.get_rng_state())
    for name, weight in model.named_parameters():
        assert weight.data_ptr() == before[name][0]
        assert torch.equal(weight, before[name][1])
        assert weight.grad is None
    assert not caplog.records


def test_a_wrong_product_in_training_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = lora._apply

    def wrong(x: Any, weight: Any, bias: Any, a: Any, b: Any, scaling: float) -> Any:
        return real(x, weight, bias, a, b, scaling * (1.2 if weight.shape[0] == 64 else 1.0))

    monkeypatch.setattr(lora, "_apply", wrong)
    model = _model()
    with caplog.at_level(logging.WARNING):
        assert _prove(model) == Ways()
    assert "LoRA layers that add in place" in caplog.text
    assert not any(fused(layer) for layer in adapter_layers(model))


def test_a_wrong_gradient_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = lora._Lora.backward

    def wrong(ctx: Any, grad: Any) -> Any:
        gradients = list(real(ctx, grad))
        gradients[4] = gradients[4] * 1.1
        return tuple(gradients)

    monkeypatch.setattr(lora._Lora, "backward", staticmethod(wrong))
    model = _model()
    with caplog.at_level(logging.WARNING):
        _prove(model)
    assert "LoRA layers that add in place" in caplog.text
    assert not any(fused(layer) for layer in adapter_layers(model))


@pytest.mark.parametrize("failure", ["numbers", "error"])
def test_packing_that_is_wrong_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    real = forward.pack

    def wrong(prompts: Any, rows: Any, *rest: Any) -> Any:
        if failure == "error":
            raise TypeError("unexpected keyword 'packed'")
        packed = real(prompts, rows, *rest)
        packed.positions_1T[0, -5:] += 3
        return packed

    monkeypatch.setattr(forward, "pack", wrong)
    with caplog.at_level(logging.WARNING):
        assert _prove(_model()) == Ways(packed=False)
    assert "rows packed end to end" in caplog.text


def test_padding_that_is_wrong_leaves_one_row_at_a_time(tmp_path: Path, tiny_model_dir: Path, monkeypatch: Any) -> None:
    real = forward.pad

    def wrong(rows: Any, device: Any) -> Any:
        ids, mask = real(rows, device)
        return (ids.flip(1), mask) if len(rows) > 1 else (ids, mask)

    monkeypatch.setattr(forward, "pad", wrong)
    prepared = prepare(runs.recipe(tmp_path, tiny_model_dir, model={"attention": "eager"}))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    assert not engine.ways["student"].padded
    assert not engine.ways["student"].packed
    from unswayed.methods import Step

    batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, SamplingParams(max_new_tokens=4))).batch
    assert [len(part) for part in engine._micro_batches(batch, "student")] == [1, 1, 1, 1]


def test_leaner_layers_that_are_wrong_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = lean.product
    monkeypatch.setattr(lean, "product", lambda rows, weight, bias=None: real(rows, weight, bias) * 1.01)
    with caplog.at_level(logging.WARNING):
        assert _prove(_model(), trained=False) == Ways(packed=False, lean=False)
    assert "leaner layers" in caplog.text


def test_11_a_layer_inside_a_wrapper_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "ParamWrapper", type(None))  # as if nobody had thought of it
    config = LoraConfig(r=2, lora_alpha=16, target_modules=["q_proj"], target_parameters=["up_proj.weight"])
    model = get_peft_model(tiny.qwen(), config).eval()
    assert not _prove(model, trained=False).lean
    monkeypatch.undo()
    assert _prove(model, trained=False).lean


def test_a_cache_that_is_wrong_ends_sampling_and_nothing_else(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: Any
) -> None:
    class Wrong(sampler.SlotCache):
        def decode(self, positions: Any, columns: int) -> None:
            super().decode((positions - 1).clamp(min=0), columns)

    monkeypatch.setattr(sampler, "SlotCache", Wrong)
    prepared = prepare(runs.recipe(tmp_path, tiny_model_dir))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    assert engine.ways["student"].packed
    with pytest.raises(ConfigError, match="log-probabilities differ by"):
        engine.sample(["a"], [(5, 6, 7)], SamplingParams(max_new_tokens=2), [[1]])


def test_39_numbers_that_are_not_finite_name_their_weight() -> None:
    model = _model()
    with torch.no_grad():
        model.get_base_model().model.layers[1].mlp.up_proj.base_layer.weight[3, 4] = float("inf")
    with pytest.raises(NotFiniteError, match=r"layers\.1\.mlp\.up_proj"):
        _prove(model)


def test_it_takes_milliseconds() -> None:
    model = _model()
    _prove(model)
    start = time.perf_counter()
    _prove(model)
    assert time.perf_counter() - start < 1.0  # about 0.05 on a free core
    assert proof.PREFIX >= 8  # the beginning that rows share is long enough to be computed once
