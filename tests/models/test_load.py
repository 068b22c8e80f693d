"""Weights arrive frozen, in eval mode, in the type that was asked for; nothing is invented."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from unswayed.core.errors import ConfigError, OutOfMemoryError
from unswayed.core.hashing import hash_file
from unswayed.models import ModelSource, default_dtype, load, load_model, resolve
from unswayed.models.cache import seal


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_frozen_and_in_the_type_that_was_asked_for(tiny_qwen_dir: Path, dtype: str) -> None:
    model = load_model(resolve(str(tiny_qwen_dir)), dtype=dtype, attn="eager")
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert model.config._attn_implementation == "eager"


def test_weights_and_logits_are_those_that_were_saved(tiny_qwen_dir: Path) -> None:
    model, original = load_model(resolve(str(tiny_qwen_dir)), dtype="float32"), tiny.qwen()
    ids = torch.tensor([[1, 121, 119, 2]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, original(ids).logits)


def test_missing_weights_are_not_replaced_by_random_ones(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "m"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"1 weights .* e\.g\. model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(resolve(str(folder)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"attn": "no_such_attention"}, "no_such_attention"),
        ({"device": "quantum"}, "device 'quantum'"),
    ],
)
def test_what_cannot_be_done_is_explained(tiny_model_dir: Path, options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_model(resolve(str(tiny_model_dir)), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device that should be missing")
def test_a_device_that_is_not_there_is_explained(tiny_model_dir: Path) -> None:
    with pytest.raises(ConfigError, match="unswayed doctor"):
        load_model(resolve(str(tiny_model_dir)), device="cuda")


def test_weights_that_do_not_fit_end_with_their_own_error(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(OutOfMemoryError, match="do not fit on cpu as float32"):
        load_model(resolve(str(tiny_model_dir)), dtype="float32")


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"avx2"}, "float32"), ({"avx512f"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")],
)
def test_auto_is_bfloat16_only_on_cpus_that_compute_in_it(
    features: set[str], expected: str, monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Path
) -> None:
    monkeypatch.setattr(load, "cpu_features", lambda: frozenset(features))
    assert default_dtype("cpu") == expected
    model = load_model(resolve(str(tiny_model_dir)), dtype="auto")
    assert model.dtype == getattr(torch, expected)


@pytest.mark.parametrize("kind", ["gguf", "hub"])
def test_35_a_flipped_bit_in_a_cached_model_is_found_although_its_time_is_unchanged(
    tmp_path: Path, tiny_model_dir: Path, kind: Literal["gguf", "hub"]
) -> None:
    folder = tmp_path / "cached"
    shutil.copytree(tiny_model_dir, folder)
    weights = folder / "model.safetensors"
    if kind == "gguf":
        seal(folder, {})
        blob = weights
    else:
        blob = tmp_path / hash_file(weights)
        weights.rename(blob)
        weights.symlink_to(blob)
    source = ModelSource("cached", folder, "a" * 40, kind, "cached")
    load_model(source, dtype="float32")
    before = blob.stat()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ConfigError, match=r"cached copy .* is damaged \(model.safetensors has other bytes"):
        load_model(source, dtype="float32")
