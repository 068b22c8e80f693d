"""A GGUF file becomes a model folder that computes the same, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

import tiny
import tiny_gguf
from unswayed.core.errors import ConfigError
from unswayed.models import load_model, load_tokenizer, resolve
from unswayed.models.gguf.convert import convert

IDS = torch.tensor([[1, 121, 119, 263, 14, 261, 36, 53, 54, 2, 14]])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))


def logits_of(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("tied", [True, False])
def test_float32_file_gives_the_same_logits(tmp_path: Path, tied: bool) -> None:
    original = tiny.llama(tie_word_embeddings=tied)
    if not tied:
        tiny.fill(original, 5)
    source = resolve(str(tiny_gguf.write_gguf(tmp_path / "m.gguf", original)))
    model = load_model(source, dtype="float32")
    assert source.kind == "gguf"
    assert source.reference == str(source.path)
    assert source.revision is not None
    assert source.revision.startswith("sha256:")
    assert torch.equal(logits_of(model), logits_of(original))
    assert model.config.tie_word_embeddings is tied
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is tied
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_quantised_file_is_stored_as_bfloat16_of_its_dequantised_values(tmp_path: Path) -> None:
    import gguf

    original = tiny.llama()
    source = resolve(str(tiny_gguf.write_gguf(tmp_path / "m.gguf", original, quantise="Q8_0")))
    stored = load_model(source, dtype="float32")
    kind = gguf.GGMLQuantizationType.Q8_0
    with torch.no_grad():
        for _, parameter in original.named_parameters():
            value = parameter.numpy()
            if value.ndim == 2:
                value = gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind)
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)).to(torch.bfloat16))
    # Quantisation works along rows and rotation only moves rows, so the two commute and equality is exact.
    assert torch.equal(logits_of(stored), logits_of(original))
    assert json.loads((source.path / "config.json").read_text())["dtype"] == "bfloat16"


def test_nothing_of_the_gguf_load_stays_in_the_folder(tmp_path: Path) -> None:
    folder = convert(tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama(), quantise="Q8_0"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert "_model_name_or_path" not in config
    assert config["rms_norm_eps"] == 1e-06  # not 9.999999974752427e-07
    generation = json.loads((folder / "generation_config.json").read_text())
    assert not {"do_sample", "temperature", "top_p", "top_k"} & set(generation)
    assert generation["eos_token_id"] == 2
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 2048
    assert str(tmp_path) not in json.dumps([config, settings])
    assert {path.suffix for path in folder.iterdir()} == {".json", ".jinja", ".safetensors"}


def test_tokenizer_splits_digits_as_the_merges_were_learned(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama()))))
    expected = tiny.tokenizer()
    assert expected.encode("\n\n12") != tokenizer.encode("\n\n12")  # what GPT-2's split would give
    expected.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for text in ("\n\n12", "the  3rd", "½ ² ٣", "<|im_start|>user\nyes<|im_end|>\n", "assistant is 漢字 🙂"):
        assert tokenizer.encode(text) == expected.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 3, 1)
    assert tokenizer.chat_template == tiny.CHAT_TEMPLATE
    assert len(tokenizer) == 300
    assert [tokenizer.encode(token) for token in tiny.SPECIALS] == [[0], [1], [2], [3]]


def test_bos_is_added_once_where_the_file_says_so(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama(), add_bos=True)
    tokenizer = load_tokenizer(resolve(str(path)))
    assert tokenizer.encode("yes")[0] == 1
    assert tokenizer.encode("yes")[1] != 1


def test_a_second_token_that_ends_a_turn_is_kept(tmp_path: Path) -> None:
    source = resolve(str(tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama(), eot=0)))
    assert json.loads((source.path / "generation_config.json").read_text())["eos_token_id"] == [2, 0]


def test_a_config_beside_the_file_is_not_read(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama())
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "vocab_size": 7}')
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "x", "auto_map": {"AutoTokenizer": "evil.T"}}')
    source = resolve(str(path))
    assert json.loads((source.path / "config.json").read_text())["model_type"] == "llama"
    assert load_tokenizer(source).eos_token == "<|im_end|>"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"leave_out": "model.layers.1.mlp.up_proj.weight"}, "do not match|cannot be rebuilt"),
        ({"extra": {"blk.0.attn_q.bias": np.ones(32, np.float32)}}, "cannot be rebuilt exactly"),
        ({"extra": {"rope_freqs.weight": np.ones(4, np.float32)}}, "rotary scaling"),
        ({"pre": "no-such-split"}, "'no-such-split', which cannot be rebuilt"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama(), **changes)
    with pytest.raises(ConfigError, match=says):
        resolve(str(path))
    assert not [found for found in (tmp_path / "cache").rglob("*") if found.is_file() and found.name != "LOCK"]


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = tiny.llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[3, 3] = float("inf")
    with pytest.raises(ConfigError, match="not finite"):
        resolve(str(tiny_gguf.write_gguf(tmp_path / "m.gguf", model)))


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "m.gguf", tiny.llama())
    whole = path.read_bytes()
    path.write_bytes({"text": b"not a model", "empty": b"", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(ConfigError, match="not a GGUF file that can be read"):
        resolve(str(path))
