"""A policy by its name, in one grammar for every command and for Python.

alias, hub id, folder, FILE.gguf   a model with all its weights
RUN                                a finished run: its adapter on the model that its recipe names
PEFT_FOLDER                        an adapter on the model that its configuration names
endpoint:URL#MODEL                 a model behind an OpenAI-compatible server
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import loads
from unswayed.core.types import TextPolicy
from unswayed.engine.remote.endpoint import PREFIX, endpoint_policy

ADAPTER = "adapter_config.json"


def load_policy(
    model: str,
    adapter: str | None = None,
    *,
    endpoint_params: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TextPolicy:
    """Return the policy that a name stands for, ready to be asked.

    Args:
        model: a name, see the module.
        adapter: a PEFT folder to put on top; only for a name that stands for a whole model.
        endpoint_params: what else an endpoint is sent with each request, e.g. `chat_template_kwargs`.
        settings: `revision`, `dtype`, `device`, `attention`, `template_kwargs`, `allow_special_tokens`,
            `trust_remote_code`, `name` (what results call it); see `unswayed.engine.policy.load_policy`. Where a run
            says them, its own are the defaults. An endpoint takes `name` alone.

    Raises:
        ConfigError: nothing has the name, the run is not finished, or the settings mean nothing for it.
    """
    if model.startswith(PREFIX):
        _only_endpoint(model, adapter, settings)
        policy = endpoint_policy(model, params=endpoint_params)
        policy.name = settings.get("name") or policy.name
        return policy
    if endpoint_params:
        raise ConfigError(f"{model} is no endpoint, so there is nothing to send parameters to")
    from unswayed.engine.policy import load_policy as load_weights

    base, on_top, own = base_of(model)
    if on_top is not None and adapter is not None:
        raise ConfigError(f"{model} is an adapter itself; give its base model to put {adapter} on, {base}")
    given = {key: value for key, value in settings.items() if value not in (None, "auto", "")}
    return load_weights(base, on_top or adapter, **{"name": model if on_top else "", **own, **given})


def base_of(name: str) -> tuple[str, str | None, dict[str, Any]]:
    """Return the model that a name is based on, the adapter folder that it stands for, and the settings of its run.

    A name that is neither a run nor a PEFT folder is its own base, without adapter and settings.

    Raises:
        ConfigError: a run that is not finished, or an adapter that does not name its base.
    """
    folder = Path(name).expanduser()
    if (folder / "recipe.json").is_file() and not (folder / "config.json").exists():
        if not (folder / "adapter" / ADAPTER).is_file():
            raise ConfigError(f"{name}: this run has published no adapter; finish it with: unswayed train --resume")
        return _of_run(folder, folder / "adapter")
    if not (folder / ADAPTER).is_file() or (folder / "config.json").exists():
        return name, None, {}
    if folder.name == "adapter" and (folder.parent / "recipe.json").is_file():
        return _of_run(folder.parent, folder)
    base = _read(folder / ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ConfigError(f"{folder / ADAPTER} names no base model; give the base, and the folder as its adapter")
    return base, str(folder), {}


def _of_run(run: Path, adapter: Path) -> tuple[str, str, dict[str, Any]]:
    recipe = _read(run / "recipe.json")
    model, chat = recipe.get("model", {}), recipe.get("chat", {})
    if not isinstance(model.get("id"), str):
        raise ConfigError(f"{run / 'recipe.json'} names no model; the file is damaged")
    known = ("revision", "dtype", "attention")  # not the device: another machine may have another
    settings = {key: model[key] for key in known if model.get(key) not in (None, "auto")}
    return model["id"], str(adapter), {**settings, **{key: value for key, value in chat.items() if value}}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no object")
    return found


def _only_endpoint(name: str, adapter: str | None, settings: Mapping[str, Any]) -> None:
    """Refuse what only a model in this process has."""
    unused = [key for key, value in settings.items() if key != "name" and value not in (None, "auto", "", False, {})]
    unused += ["adapter"] if adapter is not None else []
    if unused:
        raise ConfigError(
            f"{name}: {', '.join(sorted(unused))} cannot be set for an endpoint; its server holds weights and template"
        )
