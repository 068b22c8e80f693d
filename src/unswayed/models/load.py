"""From a model folder to weights in memory: eval mode, frozen, in a type that suits the machine."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.errors import ConfigError, OutOfMemoryError
from unswayed.core.hashing import hash_file
from unswayed.core.progress import library_bars
from unswayed.models.adapter import read_adapter, template_for
from unswayed.models.cache import problems_of
from unswayed.models.source import ModelSource, resolve

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from unswayed.chat.render import Chat

DTYPES = ("float32", "bfloat16", "float16", "float64")
SHA256 = re.compile(r"[0-9a-f]{64}")
BF16_FEATURES = ("amx_bf16", "avx512_bf16")


def cpu_features() -> frozenset[str]:
    """Return the CPU's feature flags as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    key = "flags" if platform.machine() in {"x86_64", "AMD64", "i686"} else "Features"
    return next((frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith(key)), frozenset())


def default_dtype(device: str) -> str:
    """Return the type that `auto` means on a device.

    bfloat16 on a GPU that computes in it, and on a CPU with AMX or AVX512-BF16; float32 elsewhere: a CPU without them
    emulates bfloat16, several times slower than float32.
    """
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.startswith("cpu"):
        return "bfloat16" if cpu_features().intersection(BF16_FEATURES) else "float32"
    return "bfloat16"


def load_model(source: ModelSource, *, dtype: str = "auto", device: str = "cpu", attn: str = "sdpa") -> PreTrainedModel:
    """Load a causal language model from safetensors, in eval mode, with every parameter frozen.

    Args:
        source: what `resolve` returned.
        dtype: `auto` (see `default_dtype`), `float32`, `bfloat16`, `float16` or `float64`.
        device: where the weights go, e.g. `cpu`, `cuda`, `cuda:1`, `mps`.
        attn: attention implementation as transformers names it: `sdpa` (`eager` for a model that sdpa cannot compute,
            such as Gemma 2), `eager`, `flash_attention_2`.

    Raises:
        ConfigError: an unknown dtype, device or attention, or weights that do not match the config.
        OutOfMemoryError: the weights do not fit.
    """
    if dtype not in {"auto", *DTYPES}:
        raise ConfigError(f"dtype {dtype!r}: use auto, {', '.join(DTYPES)}")
    import torch
    from transformers import AutoModelForCausalLM

    _check_device(device)
    _check_bytes(source)
    name = default_dtype(device) if dtype == "auto" else dtype
    try:
        with library_bars(sys.stderr.isatty()):
            model, info = AutoModelForCausalLM.from_pretrained(
                source.path,
                dtype=getattr(torch, name),
                # sdpa is also what Transformers takes by itself, but then eager where a model needs it (Gemma 2).
                attn_implementation=None if attn == "sdpa" else attn,
                device_map=None if device == "cpu" else {"": device},
                use_safetensors=True,
                trust_remote_code=source.trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
    except (ValueError, ImportError, RuntimeError, OSError, MemoryError) as error:
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error):
            raise OutOfMemoryError(
                f"{source.id}: the weights do not fit on {device} as {name}; use a smaller model or a bigger device"
            ) from error
        raise ConfigError(
            f"{source.id}: cannot be loaded on {device} as {name} with attention {attn!r}: {error}"
        ) from error
    if missing := sorted(info["missing_keys"]):
        # transformers only warns, and fills what is missing with random numbers.
        raise ConfigError(
            f"{source.id}: {len(missing)} weights that its config asks for are not in its safetensors, e.g. "
            f"{missing[0]}; the folder is not complete, or holds another kind of model"
        )
    model.requires_grad_(False)
    return model.eval()


def _check_bytes(source: ModelSource) -> None:
    """Hash what lies in a cache under a revision, because that name stands for its bytes wherever results are compared.

    A folder of the user's needs no check: its identity is a hash of its bytes.

    Raises:
        ConfigError: a file has other bytes than those that were fetched or converted.
    """
    if source.kind in {"alias", "gguf"}:
        problems = problems_of(source.path, full=True)
    else:  # large files of the hub lie under the name of their SHA-256
        blobs = {path: path.resolve() for path in source.path.glob("*.safetensors")} if source.kind == "hub" else {}
        problems = [
            f"{path.name} has other bytes than were fetched"
            for path, blob in sorted(blobs.items())
            if SHA256.fullmatch(blob.name) and hash_file(blob) != blob.name
        ]
    if problems:
        raise ConfigError(
            f"{source.id}: the cached copy in {source.path} is damaged ({problems[0]}); "
            + ("delete that folder to have it fetched again" if source.kind == "hub" else
               f"`unswayed models fetch {source.id}` builds it again")
        )  # fmt: skip


def load_chat(
    model: str,
    *,
    adapter: str | None = None,
    revision: str | None = None,
    template_kwargs: Mapping[str, Any] = {},
    allow_special_tokens: bool = False,
    template: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[ModelSource, Chat]:
    """Find a model's files and load its tokenizer and chat template, but no weights.

    An adapter's own chat template is used in place of its base's, unless `template` names one.

    Raises:
        ConfigError: no such model or adapter, or one without a usable chat template.
    """
    from unswayed.chat.render import Chat

    source = resolve(model, revision=revision, trust_remote_code=trust_remote_code)
    if adapter is not None and template is None:
        template = template_for(read_adapter(adapter), source.path)
    chat = Chat.load(
        source.path,
        template_kwargs=template_kwargs,
        allow_special_tokens=allow_special_tokens,
        template=template,
        trust_remote_code=trust_remote_code,
    )
    return source, chat


def _check_device(device: str) -> None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ConfigError(f"device {device!r}: use cpu, cuda, cuda:1, mps, …") from error
    there: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if kind in there and not there[kind]():
        raise ConfigError(f"device {device!r}: torch finds none on this machine; `unswayed doctor` shows what it finds")


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to a model.

    Raises:
        ConfigError: its files cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            source.path, trust_remote_code=source.trust_remote_code, local_files_only=True
        )
    except (ValueError, OSError, KeyError, ImportError) as error:
        raise ConfigError(f"{source.id}: its tokenizer cannot be loaded: {error}") from error
