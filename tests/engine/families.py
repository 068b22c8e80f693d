"""Models of many families in one shape, small enough that a dense float64 pass is the answer to hold others against."""

from __future__ import annotations

import functools
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

import tiny

V = 40
SHAPE: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
CAPPED: dict[str, Any] = {"sliding_window": 9, "final_logit_softcapping": 1.5}
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "llama-eager": lambda: LlamaConfig(**SHAPE),
    "llama-rope-scaled": lambda: LlamaConfig(
        **SHAPE, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    ),
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "qwen2-windows": lambda: Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=9, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**SHAPE),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=None),
    "mistral-window": lambda: MistralConfig(**SHAPE, sliding_window=9),
    "mistral-wide-window": lambda: MistralConfig(**SHAPE, sliding_window=64),
    "gemma": lambda: GemmaConfig(**SHAPE),
    "gemma2": lambda: Gemma2Config(**SHAPE, **CAPPED, attn_logit_softcapping=None),
    "gemma2-eager": lambda: Gemma2Config(**SHAPE, **CAPPED, attn_logit_softcapping=1.0),
    "granite": lambda: GraniteConfig(**SHAPE, logits_scaling=4.0),
    "cohere": lambda: CohereConfig(**SHAPE, logit_scale=0.25),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, sliding_window=9, sliding_window_pattern=2),
    "gemma3-eager": lambda: Gemma3TextConfig(**SHAPE, sliding_window=9, sliding_window_pattern=2),
}


@functools.cache
def build(name: str) -> Any:
    """A float64 model whose every parameter, norms and biases included, differs from its default."""
    attention = "eager" if name.endswith("eager") else "sdpa"
    model = AutoModelForCausalLM.from_config(CONFIGS[name](), attn_implementation="eager").to(torch.float64)
    # Set afterwards: Transformers refuses sdpa for Gemma 2 even where its attention scores have no soft cap.
    model.config._attn_implementation = attention
    tiny.fill(model, 3)
    return model.eval()
