"""Lean linear layers against the layers' own forward: equal numbers, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.utils import parametrize
from transformers import AutoModelForCausalLM, LlamaConfig

import tiny
from unswayed.engine.decode import lean
from unswayed.engine.decode.lean import lean_linears, product
from unswayed.engine.hf.adapters import active_adapter, adapter_layers
from unswayed.engine.lora import fuse, fused


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def adapted(**options: Any) -> Any:
    """A small float64 model with an adapter whose every weight is set, and dropout that must not act."""
    shape: dict[str, Any] = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 40}
    config = LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2, attention_bias=True)
    model = AutoModelForCausalLM.from_config(config).to(torch.float64)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5, **options))
    wrapped.to(torch.float64)
    tiny.fill(wrapped, 5, 0.3)
    return wrapped.eval()


def lean_layers(model: nn.Module) -> int:
    return sum("forward" in vars(module) for module in model.modules() if isinstance(module, nn.Linear)) + sum(
        "forward" in vars(layer) for layer in adapter_layers(model)
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5, 6, 17, 300])
@pytest.mark.parametrize("outputs", [7, 2 * lean.PIECE, 2 * lean.PIECE + 1, 5 * lean.PIECE + 3])
def test_every_way_gives_the_product(rows: int, outputs: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(rows + outputs)
    x, weight, offset = (
        torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((rows, 11), (outputs, 11), (outputs,))
    )
    got = product(x, weight, offset if bias else None)
    assert got.is_contiguous()
    assert torch.allclose(got, nn.functional.linear(x, weight, offset if bias else None), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_bias": True}])
def test_a_model_says_the_same_with_every_kind_of_adapter(rows: int, options: dict[str, Any]) -> None:
    model = adapted(**options)
    ids = torch.arange(rows)[:, None] + torch.arange(2)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with lean_linears(model):
            found = model(input_ids=ids).logits
        with model.disable_adapter():
            bare = model(input_ids=ids).logits
            with lean_linears(model):
                assert torch.allclose(model(input_ids=ids).logits, bare, rtol=0, atol=1e-12)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(found, bare, atol=1e-3)


def test_the_adapter_that_speaks_is_the_one_that_is_added() -> None:
    model = adapted()
    model.add_adapter("teacher", LoraConfig(r=2, lora_alpha=3, target_modules="all-linear"))
    model.to(torch.float64)
    tiny.fill(model, 6, 0.3)
    layers, ids = adapter_layers(model), torch.tensor([[1, 2, 3]])
    seen = []
    with torch.no_grad():
        for name in ("default", "teacher", None):
            with active_adapter(layers, name):
                seen.append(model(input_ids=ids).logits)
                with lean_linears(model):
                    assert torch.allclose(model(input_ids=ids).logits, seen[-1], rtol=0, atol=1e-12)
        for layer in layers:
            layer._active_adapter = ["default", "teacher"]
        both = model(input_ids=ids).logits
        with lean_linears(model):
            assert torch.allclose(model(input_ids=ids).logits, both, rtol=0, atol=1e-12)
    assert all(not torch.allclose(one, other) for one in seen for other in (*seen, both) if one is not other)


def test_fused_layers_are_leaner_still_and_fused_again_afterwards() -> None:
    model = adapted()
    layers, ids = adapter_layers(model), torch.arange(3)[:, None]
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        fuse(layers)
        with lean_linears(model):
            assert not any(fused(layer) for layer in layers)
            assert torch.allclose(model(input_ids=ids).logits, expected, rtol=0, atol=1e-12)
    assert all(fused(layer) for layer in layers)


def test_a_wide_adapter_over_narrow_weights_is_added_as_peft_adds_it() -> None:
    model = adapted()
    layer = model.get_base_model().model.layers[0].mlp.up_proj
    layer.base_layer.to(torch.bfloat16)
    layer.lora_A.to(torch.float32)
    layer.lora_B.to(torch.float32)
    x = torch.randn(3, 2, 24, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.no_grad():
        expected = layer(x)
        with lean_linears(layer):
            assert "forward" in vars(layer)
            found = layer(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert torch.allclose(found, expected, rtol=1e-2, atol=1e-3)


def test_layers_get_their_forward_back_even_after_an_error() -> None:
    model = adapted()
    seen = []

    def fail(*_: Any) -> None:
        seen.append(lean_layers(model))
        raise ZeroDivisionError

    model.get_base_model().model.norm.register_forward_hook(fail)
    with pytest.raises(ZeroDivisionError), lean_linears(model):
        model(input_ids=torch.tensor([[1]]))
    assert seen[0] > 14
    assert lean_layers(model) == 0


def test_what_is_not_plain_keeps_its_own_forward() -> None:
    model = adapted()
    body = model.get_base_model().model
    first, second = body.layers[0].self_attn, body.layers[1].self_attn
    calls: list[str] = []
    first.q_proj.lora_A["default"].register_forward_hook(lambda *_: calls.append("hooked"))
    parametrize.register_parametrization(second.k_proj.base_layer, "weight", nn.Identity())
    own = second.v_proj.forward
    second.v_proj.forward = lambda x: (calls.append("own"), own(x))[1]
    with lean_linears(model):
        assert "forward" not in vars(first.q_proj)
        assert "forward" not in vars(second.k_proj), "its weight is computed anew at each use"
        assert "forward" in vars(first.k_proj)
        first.q_proj(torch.zeros(1, 24, dtype=torch.float64))
        second.v_proj(torch.zeros(1, 24, dtype=torch.float64))
    assert calls == ["hooked", "own"]
    second.v_proj(torch.zeros(1, 24, dtype=torch.float64))
    assert calls == ["hooked", "own", "own"], "another's replacement is left in place"


def test_hooks_on_a_replaced_layer_still_run() -> None:
    model = adapted()
    layer = model.get_base_model().model.layers[0].mlp.up_proj
    seen: list[tuple[int, ...]] = []
    layer.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    with torch.no_grad(), lean_linears(model):
        model(input_ids=torch.tensor([[1, 2], [3, 4]]))
    assert seen == [(2, 2, 48)]
