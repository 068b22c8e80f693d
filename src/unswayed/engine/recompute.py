"""Activation checkpointing: layers keep their input alone, and are computed again in the backward pass."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from unswayed.core.errors import ConfigError
from unswayed.engine.packing import attention_as


def recompute_layers(body: Any) -> None:
    """Let every layer of a model be computed again where gradients are taken.

    Transformers does so only in layers whose `training` is true: see `recomputing`.

    Raises:
        ConfigError: the model's layers cannot, or drop states out by themselves in training.
    """
    config = body.config

    def contexts() -> tuple[Any, Any]:
        # Called in the forward pass: a layer must attend in the backward pass as it did here, packed or not.
        return nullcontext(), attention_as(config, config._attn_implementation)

    try:
        body.activation_checkpointing_enable({"use_reentrant": False, "context_fn": contexts})
    except ValueError as error:
        raise ConfigError(f"train.activation_checkpointing: {error}") from error
    layers = recomputed(body)
    if not layers:
        raise ConfigError(
            f"train.activation_checkpointing: {type(body).__name__} has no layers that Transformers can compute again, "
            "so it would save nothing; leave it out, or lower train.micro_batch"
        )
    if drops := [key for key, value in vars(layers[0]).items() if "dropout" in key and value]:
        raise ConfigError(
            f"train.activation_checkpointing: the layers of {type(body).__name__} drop states out while they are "
            f"computed again ({drops[0]}), which would change the loss; leave it out"
        )


def recomputed(body: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the layers that will be computed again."""
    return [
        module
        for module in body.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]
