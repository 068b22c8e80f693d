"""From a recipe to an engine: base weights, the student's adapter, and the frozen teacher."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn

from unswayed.core.errors import ConfigError
from unswayed.core.seeding import seed_at
from unswayed.engine.hf.adapters import STUDENT, TEACHER
from unswayed.engine.hf.attach import attach_beside, quiet_peft
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.recompute import recompute_layers
from unswayed.models import ModelSource, load_model, resolve
from unswayed.models.adapter import read_adapter

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


def load_engine(recipe: Recipe, source: ModelSource, chat: Chat, device: str = "", process: int = 0) -> HFEngine:
    """Load weights and return an engine whose student is at the start of the run; see `engine.configured`."""
    device = pick_device(device or recipe.model.device)
    base = load_model(source, dtype=recipe.model.dtype, device=device, attn=recipe.model.attention)
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices), quiet_peft():
        torch.manual_seed(seed_at(recipe.seed, "lora_init"))
        model = _with_student(base, recipe, source)
    teacher = _teacher(model, recipe, device)
    model.eval()
    if recipe.train.activation_checkpointing:
        recompute_layers(base)
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
        return attach_beside(base, read_adapter(recipe.model.adapter), STUDENT, trainable=True)
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
        model = get_peft_model(base, config, adapter_name=STUDENT)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"lora.targets = {lora.targets!r} does not fit this model: {error}") from error
    _check_targets(model, lora.targets)
    return model


@torch.no_grad()
def _gives_a_tensor(linear: nn.Linear) -> bool:
    plain = type(linear).forward is nn.Linear.forward
    return plain or isinstance(linear(linear.weight.new_zeros(1, linear.in_features)), torch.Tensor)


def _check_targets(model: Any, targets: str | list[str]) -> None:
    """Refuse names of layers that match none: the run would say that it trains them.

    Raises:
        ConfigError: which, and what was perhaps meant.
    """
    names = model.base_model.targeted_module_names
    for name, layer in model.named_modules():
        base = layer.get_base_layer() if type(layer) is LoraLinear else None
        if base is not None and not _gives_a_tensor(base):  # a router that returns its choice of experts, for example
            found = sorted({each.rpartition(".")[2] for each in names} - {name.rpartition(".")[2]})
            raise ConfigError(
                f"lora.targets = {targets!r} reaches {name.removeprefix('base_model.model.')}, a {type(base).__name__} "
                f"and no plain linear layer; name the layers instead: lora.targets = {found}"
            )
    for target in () if isinstance(targets, str) else targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            layers = {name.rpartition(".")[2] for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
            layers = {name for name in layers - {STUDENT, "base_layer"} if not name.isdigit()}
            layers |= {name.rpartition(".")[2] for name in names}
            near = difflib.get_close_matches(target, sorted(layers), n=1)
            raise ConfigError(
                f"lora.targets: {target!r} matches no layer of this model"
                + (f"; did you mean {near[0]!r}?" if near else "")
                + f" Its linear layers are {', '.join(sorted(layers))}"
            )


def _teacher(model: PeftModel, recipe: Recipe, device: str) -> Any:
    """Return the engine's `teacher` argument: an adapter name, None for the bare base, or a second model."""
    kind, _, where = recipe.method.teacher.partition(":")
    if kind == "model":
        source = resolve(where)
        return load_model(source, dtype=recipe.model.dtype, device=device, attn=recipe.model.attention)
    folder = where if kind == "adapter" else recipe.model.adapter if kind == "start" else None
    if folder is None:
        return None
    attach_beside(model, read_adapter(folder), TEACHER, trainable=False)
    return TEACHER
