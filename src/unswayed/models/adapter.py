"""PEFT adapter folders: what kind they hold, which base they were made for, and which chat template is theirs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from unswayed.chat.model_files import read_json
from unswayed.core.deadline import TooLong, deadline
from unswayed.core.errors import ConfigError
from unswayed.core.printable import excerpt, first_line
from unswayed.models.folder import check_safetensors
from unswayed.models.source import ModelSource

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LONGEST = 5  # seconds that the pattern of an adapter may take over all names of modules
REFUSED = {
    "alora_invocation_tokens": "is switched on by tokens of the prompt",
    "arrow_config": "mixes several adapters",
    "layer_replication": "adds layers to its base",
    "monteclora_config": "draws its weights anew in every pass",
}
"""Kinds of LoRA whose arithmetic is not that of layers on a fixed base, by the field of their configuration."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter folder that may be loaded: LoRA, in safetensors.

    Attributes:
        path: the folder.
        config: its `adapter_config.json`.
        template: its own chat template as Jinja text, or None where it has none.
    """

    path: Path
    config: Mapping[str, Any]
    template: str | None


def read_adapter(folder: str | Path) -> Adapter:
    """Read an adapter's configuration, and see that its weights are whole; none is loaded.

    Raises:
        ConfigError: no such folder, a kind of adapter that is not supported, or weights that are cut short or in a
            format that can run code.
    """
    path = Path(folder)
    if not (path / CONFIG).is_file():
        raise ConfigError(f"{path}: no {CONFIG}; name a PEFT folder")
    if not (path / WEIGHTS).is_file():
        raise ConfigError(f"{path}: no {WEIGHTS}; other formats can run code when loaded, convert it first")
    config = read_json(path / CONFIG)
    _check_kind(path, config)
    check_safetensors(path / WEIGHTS)
    if isinstance(pattern := config.get("target_modules"), str):
        _check_pattern(path, pattern)
    return Adapter(path, config, own_template(path))


def _check_pattern(path: Path, pattern: str) -> None:
    """Try a pattern on the modules that the adapter's own tensors name, and on those that these lie in.

    Raises:
        ConfigError: it is no regular expression, or takes too long.
    """
    try:
        with safe_open(path / WEIGHTS, "np") as tensors, deadline(LONGEST):
            for name in _modules(tensors.keys()):
                re.fullmatch(pattern, name)
    except (re.error, TooLong) as error:
        raise ConfigError(f"{path}: target_modules {excerpt(pattern)} cannot be used ({first_line(error)})") from error


def _modules(tensors: list[str]) -> list[str]:
    parts = [name.removeprefix("base_model.model.").partition(".lora_")[0].split(".") for name in tensors]
    return sorted({".".join(each[:length]) for each in parts for length in range(1, len(each) + 1)})


def _check_kind(path: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"{path}: is a {kind} adapter; only LoRA and what PEFT builds on it can be loaded here. Where PEFT can "
            "merge its kind, merge it into its base (merge_and_unload, save_pretrained) and use that as the model"
        )
    if (task := config.get("task_type")) not in {None, "CAUSAL_LM"}:
        raise ConfigError(f"{path}: is an adapter for {task}; only those of causal language models can be loaded here")
    for field, why in REFUSED.items():
        if config.get(field):
            raise ConfigError(f"{path}: {field} is set: this kind of LoRA {why}, which is not supported here")


def own_template(folder: Path) -> str | None:
    """Return the default chat template that a folder's files hold, or None."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8", errors="replace")
    found = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):  # several by name, as older versions of Transformers wrote them
        found = {str(each.get("name")): each.get("template") for each in found if isinstance(each, dict)}.get("default")
    return found if isinstance(found, str) else None


def template_for(adapter: Adapter, base: Path) -> str | None:
    """Return the adapter's chat template where it is not its base's, and say that it is used; else None."""
    if adapter.template is None or adapter.template == own_template(base):
        return None
    log.warning("%s has a chat template of its own: it is used in place of the base model's", adapter.path)
    return adapter.template


def check_base(adapter: Adapter, source: ModelSource, identity: str) -> None:
    """Compare a base with what the adapter says it was made for.

    A finished run records the identity of its base beside its adapter; another adapter only knows a name.

    Args:
        adapter: what is to be loaded.
        source: the base that was given.
        identity: the base's `core.hashing.model_identity`.

    Raises:
        ConfigError: the run that made the adapter recorded another base.
    """
    named = adapter.config.get("base_model_name_or_path")
    record = adapter.path.parent / "model.json"
    made_on = read_json(record).get("weights") if adapter.path.name == "adapter" else None
    if made_on == identity or (isinstance(named, str) and named == source.reference and made_on is None):
        return
    if isinstance(made_on, str):
        comparable = made_on.startswith("sha256:") == identity.startswith("sha256:") and named != source.reference
        what = f"{adapter.path} was trained on {named} ({made_on}), and {source.id} is {identity}"
        if comparable:
            raise ConfigError(
                f"{what}: other weights, on which it means something else (a merged model holds it already). Give its "
                f"own base; to try it on another all the same, copy the adapter folder away from {record}"
            )
        log.warning("%s: it cannot be told whether the two are the same", what)
    elif isinstance(named, str) and Path(named).name.lower() not in {
        Path(source.reference).name.lower(),
        Path(source.id).name.lower(),
    }:
        log.warning("%s says that it was made for %s, and is used on %s", adapter.path, named, source.id)
