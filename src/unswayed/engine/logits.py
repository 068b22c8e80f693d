"""What a model does to its logits after the output embedding, read from its configuration: a scale, then a soft cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from unswayed.core.errors import ConfigError

T = TypeVar("T", Tensor, Tensor | None)

# The same field means opposite things in different families, so a scale is followed only where its meaning is known.
_MULTIPLY = {"logit_scale": {"cohere", "cohere2"}}
_DIVIDE = {"logits_scaling": {"granite", "granitemoe", "granitemoeshared"}}
_FIELDS = ("logit_scale", "logits_scaling", "lm_head_multiplier")


@dataclass(frozen=True, slots=True)
class LogitRule:
    """logits = softcap·tanh(scale·(h Wᵀ + b) / softcap); without a soft cap scale·(h Wᵀ + b)."""

    scale: float = 1.0
    softcap: float | None = None

    def apply(self, logits: Tensor) -> Tensor:
        """Return the model's logits from the output embedding's; in float32 or wider where they are changed."""
        if self == LogitRule():
            return logits
        logits = self.scaled(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    def scaled(self, tensor: T) -> T:
        """Return hidden states, or the head's bias, such that the plain output embedding gives scaled logits."""
        return tensor if tensor is None or self.scale == 1 else tensor * self.scale


def logit_rule(config: Any) -> LogitRule:
    """Return what a transformer with this configuration does to its logits.

    Raises:
        ConfigError: it scales them in a way that is not known here.
    """
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    scale = 1.0
    for field in _FIELDS:
        value = getattr(config, field, None)
        if value in {None, 1}:
            continue
        if config.model_type in _MULTIPLY.get(field, ()):
            scale *= value
        elif config.model_type in _DIVIDE.get(field, ()):
            scale /= value
        else:
            raise ConfigError(
                f"{config.model_type} changes its logits after the output embedding ({field} = {value}) in a way that "
                "is not supported: sampling and exact losses would both be wrong; choose a model that does not"
            )
    return LogitRule(scale, getattr(config, "final_logit_softcapping", None))
