"""LoRA in place equals PEFT's own arithmetic, and steps aside where PEFT does more than the plain thing."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from unswayed.engine.hf.adapters import active_adapter, adapter_layers
from unswayed.engine.lora import fuse


def _layers(bias: bool = False, dtype: torch.dtype = torch.float64, **config: Any) -> tuple[Any, Any]:
    """Return PEFT's layer and its copy in place, with an adapter that has an effect."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 10, bias=bias)).to(dtype)
    model = get_peft_model(base, LoraConfig(r=2, lora_alpha=3, target_modules=["0"], **config))  # type: ignore[arg-type]
    plain = model.base_model.model[0]
    for weights in (plain.lora_A, plain.lora_B):
        weights["default"].to(torch.float32 if dtype == torch.bfloat16 else dtype)
        nn.init.normal_(weights["default"].weight)
    mine = copy.deepcopy(plain)
    fuse([mine])
    assert "forward" in vars(mine)
    return plain, mine


def _both(plain: Any, mine: Any, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    results = []
    for layer in (plain, mine):
        x = x.detach().requires_grad_()
        output = layer(x)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append((output, x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad))
        assert layer.base_layer.weight.grad is None
    return results


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 6), (1, 1, 6), (5, 6)])
def test_output_and_gradients(bias: bool, shape: tuple[int, ...]) -> None:
    plain, mine = _layers(bias)
    expected, found = _both(plain, mine, torch.randn(shape, dtype=torch.float64))
    for right, number in zip(expected, found, strict=True):
        torch.testing.assert_close(number, right, rtol=0, atol=1e-13)
    with torch.no_grad():
        assert torch.equal(mine(torch.ones(shape, dtype=torch.float64)), mine(torch.ones(shape, dtype=torch.float64)))


def test_float32_adapter_over_bfloat16_weights() -> None:
    plain, mine = _layers(dtype=torch.bfloat16)
    expected, found = _both(plain, mine, torch.randn(3, 4, 6).bfloat16())
    assert [one.dtype for one in found] == [one.dtype for one in expected]
    torch.testing.assert_close(found[0], expected[0], rtol=0.01, atol=0.01)
    for right, number in zip(expected[1:], found[1:], strict=True):
        torch.testing.assert_close(number, right, rtol=0.02, atol=0.05)
    kept: list[torch.dtype] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append((t.dtype, t.shape)) or t, lambda t: t):  # type: ignore
        mine(torch.randn(7, 6).bfloat16().requires_grad_())
    assert (torch.float32, (7, 6)) not in kept


def test_an_adapter_without_effect_changes_no_bit() -> None:
    _, mine = _layers(dtype=torch.float32)
    nn.init.zeros_(mine.lora_B["default"].weight)
    x = torch.randn(5, 6)
    assert torch.equal(mine(x), mine.base_layer(x))


def test_switching_off_and_the_teachers_adapter() -> None:
    plain, mine = _layers()
    x = torch.randn(5, 6, dtype=torch.float64)
    for layer in (plain, mine):
        layer.update_layer("teacher", 2, 3, config=LoraConfig(r=2, lora_alpha=3))
        nn.init.constant_(layer.lora_B["teacher"].weight, 0.5)
    mine.load_state_dict(plain.state_dict())
    with active_adapter(adapter_layers(mine), None):
        assert torch.equal(mine(x), mine.base_layer(x))
    with active_adapter([plain, mine], "teacher"):
        torch.testing.assert_close(mine(x), plain(x), rtol=0, atol=1e-13)
        assert float((mine(x) - mine.base_layer(x)).detach().abs().max()) > 0.1


def test_dropout_is_pefts() -> None:
    plain, mine = _layers(lora_dropout=0.5)
    x = torch.randn(5, 6, dtype=torch.float64)
    for training in (True, False):
        outputs = []
        for layer in (plain, mine):
            layer.train(training)
            torch.manual_seed(1)
            outputs.append(layer(x))
        torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-13)


def test_weight_decomposed_and_merged_adapters_are_pefts() -> None:
    x = torch.randn(5, 6, dtype=torch.float64)
    plain, mine = _layers(use_dora=True)
    assert torch.equal(mine(x), plain(x))
    plain, mine = _layers()
    mine.merge()
    torch.testing.assert_close(mine(x), plain(x), rtol=0, atol=1e-12)
