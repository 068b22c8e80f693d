"""Which adapter is active, and an adapter's configuration on disk. Never merges, never touches `requires_grad`.

PEFT's own `disable_adapter()` and `set_adapter()` flip `requires_grad`, which would freeze the student and train the
teacher. Here only the two attributes that a layer's forward reads are set, and always restored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper

from unswayed.core.errors import ConfigError
from unswayed.core.files import dump_json

STUDENT = "default"
TEACHER = "teacher"


def adapter_layers(model: torch.nn.Module) -> list[Any]:
    """Return every module whose output depends on which adapter is active."""
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)]


def check_separable(model: torch.nn.Module) -> None:
    """Refuse adapters that switching off would not switch off.

    Raises:
        ConfigError: copies of whole modules or merged weights: the frozen teacher would not be what it says it is.
    """
    for name, module in model.named_modules():
        if isinstance(module, AuxiliaryTrainingWrapper):
            raise ConfigError(
                f"the adapter trains a copy of the whole module {name!r} (modules_to_save or trainable tokens); "
                "use an adapter of low-rank layers only"
            )
        if isinstance(module, BaseTunerLayer) and module.merged:
            raise ConfigError(f"the adapter is merged into {name!r}; load it unmerged")


@contextmanager
def active_adapter(layers: list[Any], adapter: str | None) -> Iterator[None]:
    """Activate `adapter`, or the bare base model where it is None; restore what was active before."""
    before = [(layer._disable_adapters, layer._active_adapter) for layer in layers]
    try:
        for layer in layers:
            layer._disable_adapters = adapter is None
            if adapter is not None:
                layer._active_adapter = [adapter]
        yield
    finally:
        for layer, (disabled, active) in zip(layers, before, strict=True):
            layer._disable_adapters = disabled
            layer._active_adapter = active


def write_adapter_config(folder: Path, config: Any) -> None:
    """Write `adapter_config.json` so that equal adapters give equal bytes (PEFT keeps module names in a set)."""
    values = {**config.to_dict(), "inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set | frozenset) else value for key, value in values.items()}
    text = dump_json(json.loads(json.dumps(plain, default=str)))
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
