"""Activation checkpointing saves the memory it promises, and changes no number (known fault 10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import runs
import tiny
from unswayed.core.errors import ConfigError
from unswayed.core.types import PairedBatch, PairedRow
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.hf.load import load_engine
from unswayed.training.prepare import prepare

LENGTHS = (150, 100)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ten layers."""
    return tiny.save(tiny.llama(num_hidden_layers=10), tmp_path_factory.mktemp("deep") / "ten")


def _engine(tmp_path: Path, folder: Path, on: bool, **changes: Any) -> HFEngine:
    train = {"activation_checkpointing": on, "micro_batch": 2}
    prepared = prepare(runs.recipe(tmp_path, folder, train=train, **changes))
    return load_engine(prepared.recipe, prepared.source, prepared.chat)


def _step(engine: HFEngine) -> tuple[int, float, dict[str, torch.Tensor]]:
    """Return bytes that autograd keeps for the backward pass, the loss and its gradients."""
    rows = [PairedRow(str(n), (5, 9) * 20, (5, 9) * 20, tuple(range(4, 4 + n)), (1.0,) * n) for n in LENGTHS]
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def loss(scored: Any, batch: PairedBatch) -> Any:
        from unswayed.losses import nll

        return nll(scored.hidden_ND, scored.head_VD, scored.ids_N, scored.weight_N, **scored.head)

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in engine.trainable.values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    own = {weight.untyped_storage().data_ptr() for weight in engine.model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sums = engine.forward_backward(PairedBatch(tuple(rows)), loss)
    grads = {name: weight.grad.clone() for name, weight in engine.trainable.items() if weight.grad is not None}
    return sum(size for place, size in kept.items() if place not in own), sums.total, grads


@pytest.mark.parametrize("packed", [True, False])
def test_10_memory_falls_and_no_number_moves(tmp_path: Path, deep: Path, packed: bool) -> None:
    off, on = _engine(tmp_path, deep, on=False), _engine(tmp_path, deep, on=True)
    assert on.ways["student"].packed
    off.share_prefix = on.share_prefix = packed
    (much, loss, grads), (little, again, same) = _step(off), _step(on)
    assert little < much / 4
    assert again == loss
    assert all(torch.equal(grads[name], same[name]) for name in grads)
    assert not any(module.training for module in on.model.modules())


def test_10_with_dropout_the_draws_are_the_same(tmp_path: Path, deep: Path) -> None:
    off, on = (_engine(tmp_path, deep, on=on, lora={"dropout": 0.3}) for on in (False, True))
    (much, loss, grads), (little, again, same) = _step(off), _step(on)
    assert little < much / 4
    assert again == loss
    assert all(torch.equal(grads[name], same[name]) for name in grads)


def test_10_layers_that_drop_out_by_themselves_are_refused() -> None:
    from transformers import OPTConfig, OPTForCausalLM

    from unswayed.engine.recompute import recompute_layers

    config = OPTConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, ffn_dim=16, num_attention_heads=2, word_embed_proj_dim=16
    )
    with pytest.raises(ConfigError, match="drop states out"):
        recompute_layers(OPTForCausalLM(config))
