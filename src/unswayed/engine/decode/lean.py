"""Faster linear layers for decoding, without gradient: the same products and sums in a cheaper order.

Decoding multiplies every weight by a few rows, thousands of times. Inside `lean_linears` a layer's `forward` is
replaced by one that leaves out what only training or a large batch needs; everything else of the module stays, hooks
included, and nothing is merged or copied. A layer that is not exactly a plain one keeps its own forward.

- A LoRA layer adds its product in place, as in `lora`: PEFT's forward makes a product, a scaled copy and a sum.
- On a CPU a product of two to five rows is taken as weight x rows, which the kernels run up to twice as fast, and the
  output embedding's in pieces, whose results stay in cache.

Results differ from the layers' own by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn

from unswayed.engine.lora import fused

FEW = range(2, 6)
MANY = 256
"""Rows from which one product over the whole weight is as fast as pieces."""
PIECE = 1536

Forward = Callable[[Tensor], Tensor]


@contextmanager
def lean_linears(*roots: nn.Module) -> Iterator[None]:
    """Replace the forward of plain linear and LoRA layers under `roots`, and restore it at the end.

    The active adapters are read once, on entering.
    """
    replaced: dict[nn.Module, Forward] = {}
    every = [module for root in roots for module in root.modules()]
    # PEFT changes the weight of what lies in such a wrapper while it runs.
    changing = {inner for module in every if isinstance(module, ParamWrapper) for inner in module.modules()}
    for module in every:
        if module in changing:
            continue
        forward = _forward(module) if "forward" not in vars(module) or fused(module) else None
        if forward is not None:
            replaced[module] = forward
    before = {module: vars(module)["forward"] for module in replaced if "forward" in vars(module)}
    try:
        for module, forward in replaced.items():
            module.forward = forward
        yield
    finally:
        for module in replaced:
            vars(module).pop("forward", None)
        for module, forward in before.items():
            module.forward = forward


def product(rows_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return `rows @ weight.T + bias`, by the way that is fastest for so many rows on a CPU."""
    rows, outputs = len(rows_RI), len(weight_OI)
    if rows in FEW:
        out_RO = torch.mm(weight_OI, rows_RI.t()).t().contiguous()
    elif rows < MANY and outputs > 2 * PIECE:
        out_RO = rows_RI.new_empty(rows, outputs)
        for start in range(0, outputs, PIECE):
            piece = slice(start, start + PIECE)
            torch.mm(rows_RI, weight_OI[piece].t(), out=out_RO[:, piece])
    else:
        return nn.functional.linear(rows_RI, weight_OI, bias_O)
    return out_RO if bias_O is None else out_RO.add_(bias_O)


def _forward(module: Any) -> Forward | None:
    """Return a leaner forward of a module, or None where its own has to stay."""
    if type(module) is LoraLinear:
        return _adapted(module)
    if _plain(module) and _on_cpu(module.weight):
        return _applied(module.weight, module.bias, [])
    return None


def _plain(module: Any) -> bool:
    """Whether a module is a linear layer and nothing else: not quantised, sharded or parametrised."""
    return type(module) is nn.Linear and type(module.weight) is nn.Parameter


def _on_cpu(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype in {torch.float32, torch.float64}


def _adapted(layer: Any) -> Forward | None:
    base = layer.get_base_layer()
    if layer.merged or not _plain(base) or _watched(base):
        return None
    names = [] if layer.disable_adapters else [name for name in layer.active_adapters if name in layer.lora_A]
    low_rank = []
    for name in names:
        down, up = layer.lora_A[name], layer.lora_B[name]
        if name in layer.lora_variant or not (_plain(down) and _plain(up)) or _watched(down) or _watched(up):
            return None
        if up.bias is not None:
            return None
        low_rank.append((down.weight.t(), up.weight.t(), layer.scaling[name]))
    return _applied(base.weight, base.bias, low_rank)


def _watched(module: nn.Module) -> bool:
    """Whether hooks or another forward are attached to the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _applied(weight_OI: Tensor, bias_O: Tensor | None, low_rank: list[tuple[Tensor, Tensor, float]]) -> Forward:
    multiply = product if _on_cpu(weight_OI) else nn.functional.linear

    def forward(x: Tensor) -> Tensor:
        rows_RI = x.reshape(-1, x.shape[-1])
        out_RO = multiply(rows_RI, weight_OI, bias_O)
        for down_Ir, up_rO, scale in low_rank:
            # Adapters may be float32 over bfloat16 weights; where types are equal these casts are none.
            inner_Rr = rows_RI.to(down_Ir.dtype) @ down_Ir
            out_RO = out_RO.to(up_rO.dtype).addmm_(inner_Rr, up_rO, alpha=scale).to(weight_OI.dtype)
        return out_RO.view(*x.shape[:-1], -1)

    return forward
