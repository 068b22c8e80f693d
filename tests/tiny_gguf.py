"""A tiny Llama as a GGUF file, and that file inside a wheel: what the package index and llama.cpp users give us."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tiny
from unswayed.models.gguf.aliases import SMOLLM2_135M, Alias

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEMBER = "tiny_wheel/tiny.gguf"
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """Return llama.cpp's name of a transformers parameter."""
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        part, _, kind = rest.rpartition(".")
        return f"blk.{layer}.{NAMES[part]}.{kind}"
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    return {**whole, "lm_head.weight": "output.weight"}[name]


def rotate(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder query or key rows from transformers' half-split rotary layout to llama.cpp's interleaved one."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path: Path, model: PreTrainedModel, *, quantise: str | None = None, **changes: Any) -> Path:
    """Write a tiny Llama with the tiny tokenizer.

    Args:
        path: where.
        model: from `tiny.llama`.
        quantise: a GGML type for the matrices, e.g. `Q8_0`; None keeps float32.
        changes: `pre` (the name of the split into words), `eot`, `extra` tensors, `leave_out` one tensor, `add_bos`.
    """
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokens = tiny.vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in tiny.SPECIALS else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tiny.MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(3)
    writer.add_add_bos_token(changes.get("add_bos", False))
    if "eot" in changes:
        writer.add_eot_token_id(changes["eot"])
    writer.add_chat_template(tiny.CHAT_TEMPLATE)
    for name, parameter in model.named_parameters():
        if name == changes.get("leave_out"):
            continue
        value = parameter.detach().float().numpy()
        if "q_proj.weight" in name:
            value = rotate(value, config.num_attention_heads)
        if "k_proj.weight" in name:
            value = rotate(value, config.num_key_value_heads)
        if quantise and value.ndim == 2:
            kind = gguf.GGMLQuantizationType[quantise]
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(value))
    for name, value in changes.get("extra", {}).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_wheel(folder: Path, gguf: Path, code: str = "") -> Alias:
    """Put a GGUF file into `folder/tiny_wheel-1.0-py3-none-any.whl` and return the alias that pins both."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "tiny_wheel-1.0-py3-none-any.whl"
    about = "tiny_wheel-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_wheel/__init__.py", code)
        archive.write(gguf, MEMBER)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return replace(
        SMOLLM2_135M,
        name="tiny-alias",
        title="a tiny model",
        origin="this test",
        requirement="tiny-wheel==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
        gguf_sha256=hashlib.sha256(gguf.read_bytes()).hexdigest(),
        gguf_bytes=gguf.stat().st_size,
        model_bytes=1_000_000,
    )
