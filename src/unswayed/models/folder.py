"""Check a model folder before anything is loaded from it: whole safetensors, a tokenizer, no code of its own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import TOKENIZER_FILES
from unswayed.core.jsonl import loads

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HEADER_LIMIT = 100_000_000  # bytes, the limit of the safetensors format


def conversion_advice(where: str) -> str:
    """Return how to turn pickled weights into safetensors, for error messages."""
    return (
        "loading such files can run any code in them. If you trust where they come from, convert them once in a "
        "sandbox: AutoModelForCausalLM.from_pretrained("
        f"{where!r}).save_pretrained(NEW, safe_serialization=True), and the same with AutoTokenizer; then use NEW"
    )


def check_folder(folder: Path, *, name: str, trust_remote_code: bool) -> None:
    """Refuse a folder that cannot be loaded safely and whole.

    Args:
        folder: where the files are.
        name: what the user called it, for messages.
        trust_remote_code: whether the user allowed code that comes with the model, on the command line.

    Raises:
        ConfigError: what is missing or not allowed, and what to do.
    """
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ConfigError(
                f"{name}: this is an adapter, not a model; give its base model, and the folder as adapter"
            )
        raise ConfigError(f"{name}: no config.json in {folder}; this is not a model folder")
    if (folder / "adapter_config.json").is_file():
        # Transformers would load it in silence, and what trains or merges would then meet a model that has one already.
        raise ConfigError(
            f"{name}: this model folder holds an adapter too; move adapter_config.json and adapter_model.safetensors "
            "into a folder of their own, and give that as the adapter where it is meant"
        )
    _check_code(folder, name, trust_remote_code)
    _check_weights(folder, name)
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ConfigError(f"{name}: no tokenizer in {folder}; copy tokenizer.json and tokenizer_config.json into it")


def _check_code(folder: Path, name: str, trusted: bool) -> None:
    for file in ("config.json", "tokenizer_config.json"):
        if (folder / file).is_file() and "auto_map" in _read(folder / file) and not trusted:
            raise ConfigError(
                f"{name}: {file} asks to run Python code that comes with the model (auto_map). Read that code; if you "
                "trust it, allow it with --trust-remote-code"
            )


def _check_weights(folder: Path, name: str) -> None:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = _read(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ConfigError(f"{index}: no weight_map in it; the model was not saved to its end")
        names = sorted({str(file) for file in weight_map.values()})
        if outside := [file for file in names if Path(file).name != file]:
            raise ConfigError(f"{index}: names a file outside of its folder ({outside[0]})")
    else:
        names = ["model.safetensors"] if (folder / "model.safetensors").is_file() else []
    if not names:
        found = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        if found:
            raise ConfigError(f"{name}: its weights are only in {found[0]}; {conversion_advice(str(folder))}")
        raise ConfigError(f"{name}: no model.safetensors in {folder}")
    for file in names:
        check_safetensors(folder / file)


def check_safetensors(path: Path) -> None:
    """Refuse a safetensors file that is cut short; only its header is read.

    Raises:
        ConfigError: missing, a pointer instead of the file, or of another length than its header says.
    """
    try:
        length = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            if start == b"version ":
                raise ConfigError(f"{path}: a Git LFS pointer instead of the weights; run `git lfs pull` in its folder")
            (size,) = struct.unpack("<Q", start)
            if size > min(length - 8, _HEADER_LIMIT):
                raise ValueError(f"its header should have {size} bytes")
            header = loads(file.read(size))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        if 8 + size + max(ends, default=0) != length:
            raise ValueError(f"{length} bytes instead of {8 + size + max(ends, default=0)}")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: missing; the model was not copied or downloaded to its end") from error
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, struct.error, AttributeError) as error:
        raise ConfigError(f"{path}: not whole ({error}); copy or download it again") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        value = loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON ({error}); copy or download it again") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: should hold a JSON object")
    return value
