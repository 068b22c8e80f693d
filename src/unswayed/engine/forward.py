"""One forward pass over (prompt, completion) rows: hidden states of the completion tokens only, end to end.

No logits are made here. Where the model allows it rows are packed: see `packing`. Else they are padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from unswayed.chat.model_files import steady_length
from unswayed.core.errors import ConfigError
from unswayed.engine.batching import pad
from unswayed.engine.packing import ATTENTION, attention_as, pack


def backbone(model: Any) -> Any:
    """Return the transformer body of a causal language model.

    Raises:
        ConfigError: it has none.
    """
    body = getattr(model, model.base_model_prefix, None) or getattr(model, "model", None)
    if body is None or body is model:
        raise ConfigError(f"{type(model).__name__} has no body without its head; use a decoder-only transformer")
    return body


def full_attention(backbone: torch.nn.Module) -> bool:
    """Return whether every layer attends to all earlier tokens, so that they may be computed once for several rows."""
    config: Any = backbone.config
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is None and config.model_type in {
        "llama", "qwen2", "qwen3", "mistral", "gemma", "phi3", "olmo2", "smollm3", "granite"
    }  # fmt: skip


def check_reach(backbone: Any, tokens: int) -> None:
    """Refuse a row so long that its numbers would depend on the rows beside it.

    Raises:
        ConfigError: the model changes its rotary frequencies for a whole batch where one row has so many tokens.
    """
    reach = steady_length(backbone.config.to_dict())
    if reach is not None and tokens > reach:
        raise ConfigError(
            f"{type(backbone).__name__} changes its rotary frequencies beyond {reach} tokens, for every row of a batch "
            f"at once; the longest prompt and its completion come to {tokens}: shorten the prompts or lower "
            "max_new_tokens"
        )


def packable(backbone: torch.nn.Module) -> bool:
    """Return whether rows may be packed: full attention, through the function that Transformers lets one choose."""
    config: Any = backbone.config
    return (
        full_attention(backbone)
        and config._attn_implementation == "sdpa"
        and getattr(backbone, "_supports_attention_backend", False)
        and getattr(config, "attn_logit_softcapping", None) is None
    )


def decoder_layers(backbone: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the layers that the residual stream runs through, first to last.

    Raises:
        ConfigError: this architecture has no list of as many layers as its configuration states.
    """
    config: Any = backbone.config
    count = getattr(config, "num_hidden_layers", None)
    for module in backbone.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and count:
            return list(module)
    raise ConfigError(
        f"{type(backbone).__name__}: no list of {count or 'its'} layers found, so there are no activations to compare; "
        "use method.name = 'bct_soft'"
    )


def completion_hidden(
    backbone: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    share_prefix: bool = True,
) -> torch.Tensor:
    """Return hidden_ND: the final hidden state that predicts each completion token, rows end to end.

    Args:
        backbone: the transformer body; its output carries `last_hidden_state` after the last norm.
        prompts, completions: token ids, one of each per row; no prompt is empty.
        share_prefix: compute what rows begin with once, and pad nothing; needs a `packable` body.
    """
    rows = [(*prompt, *completion)[:-1] for prompt, completion in zip(prompts, completions, strict=True)]
    hidden_BTD, columns = _run(backbone, prompts, rows, share_prefix)
    return _pick(hidden_BTD, [column[len(prompt) - 1 :] for column, prompt in zip(columns, prompts, strict=True)])


def completion_layers(
    backbone: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    share_prefix: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return hidden_ND after the last norm and layers_LND, the output of each layer, at the completion tokens.

    Arguments as in `completion_hidden`, but the states are those at the tokens themselves, and a prompt may be empty.

    Raises:
        ConfigError: the layers cannot be found.
    """
    rows = [(*prompt, *completion) for prompt, completion in zip(prompts, completions, strict=True)]
    with _outputs(decoder_layers(backbone)) as layers_BTD:
        hidden_BTD, columns = _run(backbone, prompts, rows, share_prefix)
    wanted = [column[len(prompt) :] for column, prompt in zip(columns, prompts, strict=True)]
    return _pick(hidden_BTD, wanted), torch.stack([_pick(layer_BTD, wanted) for layer_BTD in layers_BTD.values()])


@contextmanager
def _outputs(layers: Sequence[torch.nn.Module]) -> Iterator[dict[int, torch.Tensor]]:
    """Yield a dictionary that holds, after a forward pass, the output of each layer by its number."""
    found: dict[int, torch.Tensor] = {}

    def keep(number: int, output: Any) -> None:
        found[number] = output[0] if isinstance(output, tuple) else output

    hooks = [
        layer.register_forward_hook(lambda _module, _args, output, number=number: keep(number, output))
        for number, layer in enumerate(layers)
    ]
    try:
        yield found
    finally:
        # Before the backward pass: layers that are computed again there must not be kept.
        for hook in hooks:
            hook.remove()


def _pick(states_BTD: torch.Tensor, columns: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the states at these places, B and T being one, rows end to end."""
    places_N = torch.tensor([place for column in columns for place in column], dtype=torch.long)
    # Not index_select: where rollouts share a state their gradients add up in the same order each time, on a GPU too.
    return states_BTD.flatten(0, 1)[places_N.to(states_BTD.device)]


def _run(
    backbone: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Sequence[int]],
    share_prefix: bool,
) -> tuple[torch.Tensor, list[Sequence[int]]]:
    """Return hidden_BTD and, for each row, where its tokens lie when B and T are one."""
    device = backbone.device
    check_reach(backbone, max(map(len, rows), default=0))
    if share_prefix:
        packed = pack(prompts, rows, device, backbone.dtype)
        with attention_as(backbone.config, ATTENTION):
            output = backbone(input_ids=packed.ids_1T, position_ids=packed.positions_1T, use_cache=False, packed=packed)
        return output.last_hidden_state, list(packed.columns)
    # At the right: a row of attention that is masked from end to end is NaN in some kernels, and needs positions moved.
    ids_BT, mask_BT = pad(rows, device)
    width = ids_BT.shape[1]
    output = backbone(
        input_ids=ids_BT,
        attention_mask=None if bool(mask_BT.all()) else mask_BT,
        position_ids=torch.arange(width, device=device)[None].expand(len(rows), -1),
        use_cache=False,
    )
    columns = [range(number * width, number * width + len(row)) for number, row in enumerate(rows)]
    return output.last_hidden_state, list(columns)
