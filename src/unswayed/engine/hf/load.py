"""From a recipe to an engine: base weights, the student's adapter, and the frozen teacher."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from unswayed.core.errors import ConfigError
from unswayed.core.seeding import seed_at
from unswayed.engine.hf.adapter_config import read_adapter_config
from unswayed.engine.hf.adapters import STUDENT, TEACHER
from unswayed.engine.hf.engine import HFEngine
from unswayed.models import ModelSource, load_model, resolve

if TYPE_CHECKING:
    from unswayed.chat.render import Chat
    from unswayed.config.recipe import Recipe


def pick_device(name: str) -> str:
    """Return the device a recipe means: `auto` is a GPU where there is one."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence a deprecation inside PEFT that its users can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def check_adapter(folder: str | Path) -> LoraConfig:
    """Return the configuration of a PEFT folder with safetensors weights.

    Raises:
        ConfigError: no such folder, not LoRA, or weights in a format that can run code.
    """
    path = Path(folder)
    if not (path / "adapter_config.json").is_file():
        raise ConfigError(f"{path}: no adapter_config.json; name a PEFT folder")
    if not (path / "adapter_model.safetensors").is_file():
        raise ConfigError(
            f"{path}: no adapter_model.safetensors; other formats can run code when loaded, convert it first"
        )
    config = read_adapter_config(path)
    if not isinstance(config, LoraConfig):
        raise ConfigError(f"{path}: is a {config.peft_type} adapter; only LoRA can be trained here")
    return config


def load_engine(recipe: Recipe, source: ModelSource, chat: Chat, device: str = "", process: int = 0) -> HFEngine:
    """Load weights and return an engine whose student is at the start of the run; see `engine.configured`."""
    device = pick_device(device or recipe.model.device)
    base = load_model(source, dtype=recipe.model.dtype, device=device, attn=recipe.model.attention)
    if recipe.train.activation_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        base.enable_input_require_grads()
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices), quiet_peft():
        torch.manual_seed(seed_at(recipe.seed, "lora_init"))
        model = _with_student(base, recipe, source)
    teacher = _teacher(model, recipe, device)
    model.eval()
    return HFEngine(
        model,
        teacher=teacher,
        stop_ids=chat.stop_ids,
        vocab_size=min(chat.vocab_size, base.get_output_embeddings().weight.shape[0]),
        seed=seed_at(recipe.seed, "process", process) if process else recipe.seed,
        micro_batch=recipe.train.micro_batch,
        betas=recipe.optim.betas,
        eps=recipe.optim.eps,
        weight_decay=recipe.optim.weight_decay,
    )


def _with_student(base: Any, recipe: Recipe, source: ModelSource) -> PeftModel:
    if recipe.model.adapter is not None:
        check_adapter(recipe.model.adapter)
        return PeftModel.from_pretrained(base, recipe.model.adapter, adapter_name=STUDENT, is_trainable=True)
    lora = recipe.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=source.reference,
        revision=source.revision if source.kind == "hub" else None,
    )
    try:
        return get_peft_model(base, config, adapter_name=STUDENT)
    except ValueError as error:
        raise ConfigError(f"lora.targets = {lora.targets!r} does not fit this model: {error}") from error


def _teacher(model: PeftModel, recipe: Recipe, device: str) -> Any:
    """Return the engine's `teacher` argument: an adapter name, None for the bare base, or a second model."""
    kind, _, where = recipe.method.teacher.partition(":")
    if kind == "model":
        source = resolve(where)
        return load_model(source, dtype=recipe.model.dtype, device=device, attn=recipe.model.attention)
    folder = where if kind == "adapter" else recipe.model.adapter if kind == "start" else None
    if folder is None:
        return None
    check_adapter(folder)
    model.load_adapter(folder, adapter_name=TEACHER, is_trainable=False)
    return TEACHER
