"""Turn a GGUF file into an ordinary model folder: safetensors, config, tokenizer, chat template.

transformers reads the weights; this module checks that nothing was lost on the way and corrects what transformers
leaves wrong. What cannot be rebuilt exactly is refused: a model that is almost right would spoil every number measured
on it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.progress import library_bars
from unswayed.models.gguf.header import Header, read_header
from unswayed.models.gguf.tokenizer import convert_tokenizer

if TYPE_CHECKING:
    import torch

CONVERTER = 1  # part of every cache key: raise it when the same file would be converted differently


def convert(gguf: Path, work: Path, *, eos: str | None = None) -> Path:
    """Convert a GGUF file into the folder `work/model` and return it.

    Quantised weights are stored as bfloat16; files of float32 or float16 matrices keep their type.

    Args:
        gguf: the file.
        work: a folder for this conversion alone.
        eos: the token that must end a turn, where it is known.

    Raises:
        ConfigError: the file cannot be rebuilt exactly, with what is missing.
    """
    header = read_header(gguf)
    # transformers would also read a config or tokenizer that happens to lie beside the file: give it a folder alone.
    alone = work / "alone"
    alone.mkdir()
    (alone / "model.gguf").symlink_to(gguf.resolve())
    folder = work / "model"
    with _quiet():
        try:
            _convert_weights(header, alone, folder, str(gguf))
            convert_tokenizer(header, alone, folder, str(gguf), eos)
        except (ValueError, NotImplementedError, KeyError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{gguf}: cannot be converted ({error}); use the model's original safetensors") from error
    return folder


def _dtype_of(header: Header) -> torch.dtype:
    import torch

    kept = {frozenset({"F32"}): torch.float32, frozenset({"F16"}): torch.float16}
    return kept.get(header.matrix_types, torch.bfloat16)


def _convert_weights(header: Header, alone: Path, folder: Path, name: str) -> None:
    import transformers

    # Without `dequantize`, weights stay packed wherever a kernel for packed weights is installed.
    quantisation = getattr(transformers, "GgufConfig", None)
    options = {"quantization_config": quantisation(dequantize=True)} if quantisation is not None else {}
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        alone,
        gguf_file="model.gguf",
        dtype=_dtype_of(header),
        output_loading_info=True,
        local_files_only=True,
        **options,
    )
    lost = sorted([*info["missing_keys"], *info.get("mismatched_keys", ()), *info.get("unexpected_keys", ())], key=str)
    if lost:
        # transformers only warns here, and fills what is missing with random numbers.
        raise ConfigError(
            f"{name}: {len(lost)} weights do not match the architecture, e.g. {lost[0]}; nothing was kept"
        )
    held = sum(parameter.numel() for parameter in model.parameters())
    if held != header.elements:
        # Nor does it say when the file holds more than the architecture it was given for, e.g. biases.
        raise ConfigError(
            f"{name}: holds {header.elements} weights, but a {header.architecture} model as transformers builds it has "
            f"{held}; it cannot be rebuilt exactly. Use the model's original safetensors"
        )
    # A GGUF load counts as quantised, and a quantised model refuses to be saved; its weights are plain by now.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # The file's title, which transformers takes for the place it was loaded from.
    vars(model.config).pop("_model_name_or_path", None)
    for key in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"):
        if isinstance(value := getattr(model.config, key, None), float):
            setattr(model.config, key, _shortest(value))
    ends = [end for end in dict.fromkeys((header.eos, header.eot)) if end is not None]
    # No sampling defaults: what is sampled here is always said by the caller.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0] if ends else None,
        pad_token_id=model.config.pad_token_id,
    )
    model.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):  # created for the owner alone, unlike every other file
        path.chmod((folder / "config.json").stat().st_mode)
    _check_weights(model, folder, name)


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same float32: GGUF keeps 1e-05 as 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def _check_weights(model: Any, folder: Path, name: str) -> None:
    """Hold the stored tensors against those in memory, bit for bit."""
    import torch
    from safetensors import safe_open

    expected = dict(model.named_parameters(remove_duplicate=True)) | dict(model.named_buffers())
    stored: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  # not a mapping
                tensor = file.get_tensor(key)
                if not torch.isfinite(tensor).all():
                    raise ConfigError(f"{name}: {key} holds values that are not finite")
                if key not in expected or not torch.equal(tensor, expected[key]):
                    raise UnswayedError(f"{name}: {key} was not stored as it was read; nothing was kept")
                stored.add(key)
    if absent := {key for key, _ in model.named_parameters(remove_duplicate=True)} - stored:
        raise UnswayedError(f"{name}: {min(absent)} was not stored; nothing was kept")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the libraries print off the screen, which shows our own progress."""
    # Imported first: a logger that is set up inside would keep writing into the buffer for good.
    import torch  # noqa: F401
    import transformers  # noqa: F401

    with library_bars(False), contextlib.redirect_stderr(io.StringIO()):
        yield
