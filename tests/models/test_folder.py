"""A model folder is whole and brings no code, or it is refused before anything is loaded."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError
from unswayed.models import load_model, load_tokenizer, resolve


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "my model ü"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_is_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    source = resolve(folder.name)
    assert (source.kind, source.path, source.reference, source.revision) == ("folder", folder, str(folder), None)
    assert load_tokenizer(source).encode("<|im_end|>") == [2]
    assert load_model(source).config.vocab_size == 300


def test_a_folder_may_look_like_a_hub_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent.parent)
    renamed = folder.rename(folder.parent / "model")
    assert resolve(f"{renamed.parent.name}/model").kind == "folder"


def test_an_adapter_that_names_the_reference_finds_its_base(folder: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    source = resolve(str(folder))
    model = get_peft_model(
        load_model(source, dtype="float32"), LoraConfig(r=2, base_model_name_or_path=source.reference)
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    model.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[1, 121, 119, 2]])
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=model.dtype)
    with torch.no_grad():
        assert torch.equal(alone(ids).logits, model(ids).logits)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_the_model_is_refused_unless_allowed(folder: Path, file: str) -> None:
    edit(folder / file, auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError, match=r"auto_map.*--trust-remote-code"):
        resolve(str(folder))
    assert not (folder / "ran").exists()
    assert resolve(str(folder), trust_remote_code=True).trust_remote_code


def test_pickled_weights_are_refused_with_advice(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"only in pytorch_model\.bin.*safe_serialization"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("file", "says"),
    [("config.json", "no config.json"), ("model.safetensors", "no model.safetensors")],
)
def test_a_missing_file_is_named(folder: Path, file: str, says: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ConfigError, match=says):
        resolve(str(folder))


def test_a_missing_tokenizer_is_named(folder: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / file).unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        resolve(str(folder))


def test_an_adapter_is_not_a_model(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(ConfigError, match="an adapter, not a model"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda whole: whole[:-1], r"\d+ bytes instead of \d+"),
        (lambda whole: whole + b"\0", r"\d+ bytes instead of \d+"),
        (lambda whole: whole[:100], "its header should have"),
        (lambda whole: whole[:4], "not whole"),
        (lambda whole: struct.pack("<Q", 2**63) + whole[8:], "its header should have"),
        (lambda whole: whole[:8] + b"[" + whole[9:], "not whole"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    ],
)
def test_weights_that_are_not_whole_are_refused(folder: Path, change: object, says: str) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=says):
        resolve(str(folder))


def test_every_shard_of_an_index_must_be_there(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    both = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": both}))
    with pytest.raises(ConfigError, match=r"model-00002-of-00002\.safetensors: missing"):
        resolve(str(folder))
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(ConfigError, match="outside of its folder"):
        resolve(str(folder))
    index.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("smollm2-135M", "did you mean 'smollm2-135m'"),
        ("./nowhere", "no alias, no folder and no hub id"),
        ("~/nowhere/at-all", "no alias, no folder and no hub id"),
        ("../up", "no alias, no folder and no hub id"),
        ("a/b/c", "no alias, no folder and no hub id"),
        ("~nobody-of-that-name/x", "no alias, no folder and no hub id"),
        ("a\0b", "no alias, no folder and no hub id"),
        ("", "no alias, no folder and no hub id"),
        ("nowhere.gguf", "no such file"),
    ],
)
def test_an_unknown_name_is_explained(id: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        resolve(id)


def test_a_revision_means_nothing_for_a_folder(folder: Path) -> None:
    with pytest.raises(ConfigError, match="a folder has none"):
        resolve(str(folder), revision="main")


def test_a_single_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="neither"):
        resolve(str(tmp_path / "model.bin"))
