"""Which transformer bodies the decode loop can run, read from their configuration."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from unswayed.core.errors import ConfigError
from unswayed.engine.forward import check_reach

_INPUTS = {"input_ids", "attention_mask", "position_ids", "past_key_values", "use_cache"}


def attention_windows(backbone: nn.Module, columns: int) -> dict[str, int | None]:
    """Return the kinds of attention layers and how many columns each looks back on, None for all of them.

    The names are those of `config.layer_types`: a model with several kinds takes one mask for each, by name.

    Args:
        backbone: the transformer body.
        columns: the longest prompt with its completion, in tokens.

    Raises:
        ConfigError: the body keeps another state than keys and values, needs another mask than a causal one, or changes
            its positions with the length of its neighbours.
    """
    config: Any = getattr(backbone, "config", None)
    accepted = set(inspect.signature(backbone.forward).parameters)
    if config is None or not accepted >= _INPUTS or "logits_to_keep" in accepted:
        raise ConfigError(
            f"{type(backbone).__name__} cannot be decoded step by step: "
            "give the body of a decoder-only transformer without its head, e.g. model.model"
        )
    name = f"{type(backbone).__name__} ({config.model_type})"
    config = config.get_text_config()
    if config._attn_implementation not in {"sdpa", "eager"}:
        raise ConfigError(
            f"{name} uses attention {config._attn_implementation!r}, whose masks this decode loop does not make: "
            'load it with attn_implementation="sdpa"'
        )
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        raise ConfigError(f"{name} does not attend causally: it cannot be decoded token by token")
    if getattr(config, "num_kv_shared_layers", 0):
        raise ConfigError(f"{name} shares keys and values between layers, which this decode loop does not support")
    check_reach(backbone, columns)
    window: int | None = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or (["sliding_attention"] if window else ["full_attention"]))
    if kinds - {"full_attention", "sliding_attention"}:
        raise ConfigError(
            f"{name} has layers of kind {', '.join(sorted(kinds - {'full_attention', 'sliding_attention'}))}; "
            "this decode loop runs full and sliding attention only"
        )
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}


def kv_bytes(config: Any, dtype: torch.dtype) -> int:
    """Return the bytes one token's keys and values take over all layers."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * dtype.itemsize)
