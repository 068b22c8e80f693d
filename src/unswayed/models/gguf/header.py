"""Reads a GGUF header and decides whether the model can be rebuilt from it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError

CONTROL = 3  # token type in GGUF: special, never split


@dataclass(frozen=True, slots=True)
class Header:
    """The header fields that conversion needs."""

    architecture: str
    tokenizer: str
    pre: str
    tokens: list[str]
    control: list[int]
    eos: int | None
    eot: int | None
    adds_bos: bool
    context: int
    matrix_types: frozenset[str]
    elements: int


def read_header(gguf: Path) -> Header:
    """Read and check a GGUF file's metadata.

    Raises:
        ConfigError: not a GGUF file, damaged, or one whose model cannot be rebuilt exactly.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
        fields: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        names = [tensor.name for tensor in reader.tensors]
        types = frozenset(tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1)
        architecture = str(fields["general.architecture"])
        tokens = [str(token) for token in fields["tokenizer.ggml.tokens"]]
        context = int(fields[f"{architecture}.context_length"])
        elements = sum(int(tensor.n_elements) for tensor in reader.tensors)
        kinds = list(fields.get("tokenizer.ggml.token_type") or [])
    except Exception as error:  # the reader raises whatever its byte arithmetic raises
        raise ConfigError(f"{gguf}: not a GGUF file that can be read ({type(error).__name__}: {error})") from error
    scaling = fields.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none" or any(name.startswith("rope_f") for name in names):
        raise ConfigError(
            f"{gguf}: its rotary scaling is stored in a form that cannot be turned back into a config; use the model's "
            "original safetensors"
        )
    return Header(
        architecture=architecture,
        tokenizer=str(fields.get("tokenizer.ggml.model", "")),
        pre=str(fields.get("tokenizer.ggml.pre", "")),
        tokens=tokens,
        control=[index for index, kind in enumerate(kinds) if kind == CONTROL],
        eos=fields.get("tokenizer.ggml.eos_token_id"),
        eot=fields.get("tokenizer.ggml.eot_token_id"),
        adds_bos=bool(fields.get("tokenizer.ggml.add_bos_token", fields.get("tokenizer.ggml.model") == "llama")),
        context=context,
        matrix_types=types,
        elements=elements,
    )
