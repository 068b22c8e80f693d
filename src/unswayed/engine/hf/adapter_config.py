"""Read the configuration of a PEFT folder, and refuse what cannot be used, by name."""

from __future__ import annotations

import re
from pathlib import Path

from peft import PeftConfig
from safetensors import SafetensorError, safe_open

from unswayed.core.deadline import TooLong, deadline
from unswayed.core.errors import ConfigError
from unswayed.core.printable import excerpt, first_line

LONGEST = 5  # seconds that the pattern of an adapter may take over all names of modules


def read_adapter_config(path: Path) -> PeftConfig:
    """Return the configuration of a PEFT folder.

    Raises:
        ConfigError: it is broken, or its `target_modules` is a pattern that is none, or has no end.
    """
    try:
        config = PeftConfig.from_pretrained(str(path))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: adapter_config.json cannot be used ({first_line(error)})") from error
    if isinstance(pattern := getattr(config, "target_modules", None), str):
        _check_pattern(path, pattern)
    return config


def _check_pattern(path: Path, pattern: str) -> None:
    """Try a pattern on the modules that the adapter's own tensors name, and on those that these lie in.

    Raises:
        ConfigError: it is no regular expression, or takes too long.
    """
    try:
        with safe_open(path / "adapter_model.safetensors", "pt") as tensors, deadline(LONGEST):
            for name in _modules(tensors.keys()):
                re.fullmatch(pattern, name)
    except (re.error, TooLong, SafetensorError) as error:
        raise ConfigError(f"{path}: target_modules {excerpt(pattern)} cannot be used ({first_line(error)})") from error


def _modules(tensors: list[str]) -> list[str]:
    parts = [name.removeprefix("base_model.model.").partition(".lora_")[0].split(".") for name in tensors]
    return sorted({".".join(each[:length]) for each in parts for length in range(1, len(each) + 1)})
