"""An adapter's configuration is text from outside: broken, or a pattern without an end, it is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unswayed.core.errors import ConfigError
from unswayed.models import adapter as adapters
from unswayed.models.adapter import read_adapter

NAME = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def adapter(folder: Path, config: str) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(config)
    save_file({NAME: torch.zeros(1, 1)}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("pattern", [r"(.*.*.*.*.*.*.*.*)*!", r"((\w|\.)+)+!", "("])
def test_40_a_pattern_without_an_end_is_refused(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "LONGEST", 0.2)
    place = adapter(tmp_path / "a", json.dumps({"peft_type": "LORA", "target_modules": pattern}))
    with pytest.raises(ConfigError, match=r"target_modules .* cannot be used"):
        read_adapter(place)


@pytest.mark.parametrize("config", ["{", "[]", "null", '{"peft_type": "NONE"}', '{"peft_type": 3}', "[" * 100_000])
def test_38_a_broken_configuration_is_refused(tmp_path: Path, config: str) -> None:
    with pytest.raises(ConfigError, match=r"is a .* adapter|adapter_config.json"):
        read_adapter(adapter(tmp_path / "a", config))


def test_40_a_usual_pattern_is_taken(tmp_path: Path) -> None:
    pattern = r".*\.self_attn\.(q|v)_proj"
    place = adapter(tmp_path / "a", json.dumps({"peft_type": "LORA", "target_modules": pattern}))
    assert read_adapter(place).config["target_modules"] == pattern
