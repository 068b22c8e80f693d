"""Switching who speaks changes nothing but who speaks."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from unswayed.core.errors import ConfigError
from unswayed.engine.hf.adapters import active_adapter, adapter_layers, check_separable

IDS = torch.arange(10)[None]


def _peft(folder: Path, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM", **options)
    return get_peft_model(base, config)


def test_off_is_bit_equal_to_the_base(tiny_model_dir: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float64)
    expected = base(input_ids=IDS).logits.detach()
    model = _peft(tiny_model_dir)
    with active_adapter(adapter_layers(model), None):
        assert torch.equal(model(input_ids=IDS).logits, expected)
    assert not torch.equal(model(input_ids=IDS).logits, expected)


def test_requires_grad_never_moves(tiny_model_dir: Path) -> None:
    model = _peft(tiny_model_dir)
    model.add_adapter("teacher", LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".default." in name)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    layers = adapter_layers(model)
    outputs = []
    for adapter in ("default", "teacher", None):
        with active_adapter(layers, adapter):
            assert before == {name: parameter.requires_grad for name, parameter in model.named_parameters()}
            outputs.append(model(input_ids=IDS).logits)
    assert before == {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])


def test_restored_after_an_exception(tiny_model_dir: Path) -> None:
    model = _peft(tiny_model_dir)
    expected = model(input_ids=IDS).logits
    with pytest.raises(ZeroDivisionError), active_adapter(adapter_layers(model), None):
        raise ZeroDivisionError
    assert torch.equal(model(input_ids=IDS).logits, expected)


def test_whole_module_copies_are_refused(tiny_qwen_dir: Path) -> None:
    with pytest.raises(ConfigError, match="lm_head"):
        check_separable(_peft(tiny_qwen_dir, modules_to_save=["lm_head"]))


def test_merged_adapters_are_refused(tiny_model_dir: Path) -> None:
    model = _peft(tiny_model_dir)
    model.merge_adapter()
    with pytest.raises(ConfigError, match="merged"):
        check_separable(model)
