"""Attach an adapter folder to a loaded model: every tensor has its place, and what it does to the base is known."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PeftModelForCausalLM, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from unswayed.core.errors import ConfigError
from unswayed.engine.hf.fingerprint import checksums
from unswayed.models.adapter import WEIGHTS, Adapter

_FAILURES = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError, SafetensorError)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence what PEFT warns of its own defaults, which its users can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*_pattern keys did not match.*", category=RuntimeWarning)
        yield


def attach(model: Any, adapter: Adapter, name: str, *, trainable: bool = False) -> tuple[PeftModel, list[str]]:
    """Load an adapter under a name, as PEFT does.

    Args:
        model: the base model, or one that has adapters already.
        adapter: what to load.
        name: how PEFT calls it from now on.
        trainable: whether its weights require gradients.

    Returns:
        The model with the adapter, and the names of weights that were there before and have other values now: PiSSA and
        OLoRA take their part out of the base, an adapter with biases replaces the base's.

    Raises:
        ConfigError: a configuration that PEFT cannot use on this model, or tensors without a place, with another shape,
            or missing.
    """
    before = dict(model.named_parameters())
    bits = checksums(list(before.values()))
    with quiet_peft():
        try:
            config = PeftConfig.from_pretrained(str(adapter.path))
            config.inference_mode = not trainable
            whole = _prepared(model, config, name)
        except _FAILURES as error:
            raise ConfigError(f"{adapter.path}: does not fit this base model: {_line(error)}") from error
        expected = {key: tuple(tensor.shape) for key, tensor in _state(whole, name).items()}
        found = _shapes(adapter)
        _check_shapes(adapter, expected, found)
        try:
            mapping = getattr(whole.get_base_model(), "_checkpoint_conversion_mapping", {})
            result = whole.load_adapter(str(adapter.path), name, is_trainable=trainable, key_mapping=mapping)
        except _FAILURES as error:
            _check_names(adapter, expected, found, [key for key in found if key not in expected])
            raise ConfigError(f"{adapter.path}: cannot be loaded on this base model: {_line(error)}") from error
    if result.missing_keys or result.unexpected_keys or len(found.keys() - expected) < len(expected.keys() - found):
        _check_names(adapter, expected, found, result.unexpected_keys)
    left = {id(weight) for weight in whole.parameters()}
    after = checksums(list(before.values()))
    rewritten = [
        key
        for (key, weight), old, new in zip(before.items(), bits, after, strict=True)
        if id(weight) not in left or old != new
    ]
    return whole, rewritten


def attach_beside(model: Any, adapter: Adapter, name: str, *, trainable: bool) -> PeftModel:
    """Load an adapter as `attach` does, upon a base that other policies read too.

    Raises:
        ConfigError: as `attach`, or the adapter changes what is there.
    """
    _refuse_rewritten(adapter, [key for key in _shapes(adapter) if key.endswith(".bias") and "lora_" not in key])
    whole, rewritten = attach(model, adapter, name, trainable=trainable)
    _refuse_rewritten(adapter, rewritten)
    return whole


def _refuse_rewritten(adapter: Adapter, names: Sequence[str]) -> None:
    """Refuse an adapter that changes what it is put upon, where other policies share that.

    Raises:
        ConfigError: `names` is not empty.
    """
    if not names:
        return
    kind = adapter.config.get("init_lora_weights")
    why = f"init_lora_weights = {kind!r}" if isinstance(kind, str) else f"bias = {adapter.config.get('bias')!r}"
    raise ConfigError(
        f"{adapter.path}: loading this adapter rewrites {len(names)} weights of its base, e.g. {names[0]} ({why}), and "
        "student and teacher share the base. Convert it to plain LoRA with PEFT (save_pretrained with "
        "path_initial_model_for_weight_conversion), or merge it into the base and give the merged folder as the model"
    )


def _prepared(model: Any, config: Any, name: str) -> PeftModel:
    """Return the model with layers for a new adapter, whose weights are not loaded yet."""
    if not isinstance(config, LoraConfig):
        raise TypeError(f"its configuration is read as {type(config).__name__}")
    if isinstance(model, PeftModel):
        model.add_adapter(name, config)
        if not config.inference_mode:
            model.set_requires_grad(name)
        return model
    return (PeftModelForCausalLM if config.task_type else PeftModel)(model, config, name)


def _state(model: PeftModel, name: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    return found


def _shapes(adapter: Adapter) -> dict[str, tuple[int, ...]]:
    with safe_open(adapter.path / WEIGHTS, framework="pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def _check_shapes(adapter: Adapter, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    wrong = [key for key, shape in expected.items() if key in found and found[key] != shape]
    if wrong:
        key = wrong[0]
        raise ConfigError(
            f"{adapter.path}: made for another model: {len(wrong)} of its {len(found)} tensors have other shapes than "
            f"this base asks for, e.g. {key} has {list(found[key])}, asked for is {list(expected[key])}"
        )


def _check_names(
    adapter: Adapter,
    expected: dict[str, tuple[int, ...]],
    found: dict[str, tuple[int, ...]],
    unexpected: Sequence[str],
) -> None:
    parts = [
        f"{len(keys)} {what} (e.g. {sorted(keys)[0]})"
        for what, keys in (("are missing", expected.keys() - found), ("have no place in this model", unexpected))
        if keys
    ]
    if parts:
        raise ConfigError(
            f"{adapter.path}: its tensors do not fit its configuration and this base: {', '.join(parts)}; such an "
            "adapter would answer as the base does, wholly or in part. Was it made for another model, or renamed?"
        )


def _line(error: BaseException) -> str:
    """Return the first line of an error's message, with its type where the message alone says little."""
    text = (str(error).strip().splitlines() or [""])[0]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
