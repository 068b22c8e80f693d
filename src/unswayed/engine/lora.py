"""LoRA's arithmetic in place: `x Wᵀ + b + s (x Aᵀ) Bᵀ`, each product adding to what is there.

PEFT scales the adapter's part and adds it to the frozen one, and the two gradients of the input are added likewise:
four passes over full-size tensors that the products can include. Only rounding differs. With float32 adapters over
bfloat16 weights the input is kept as it came, where PEFT keeps a float32 copy for each layer that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def fuse(layers: Iterable[nn.Module]) -> None:
    """Let plain LoRA layers over frozen linear layers compute in place; others stay as they are."""
    for layer in layers:
        if type(layer) is Linear and type(layer.base_layer) is nn.Linear and not layer.fan_in_fan_out:
            layer.forward = MethodType(_forward, layer)


def fused(layer: nn.Module) -> bool:
    """Return whether a layer's forward is the one that `fuse` sets."""
    return getattr(vars(layer).get("forward"), "__func__", None) is _forward


def _forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What PEFT's own forward returns, which still serves whatever is out of the ordinary."""
    base, active = layer.base_layer, layer._active_adapter
    name = active[0] if isinstance(active, list) and len(active) == 1 else active
    if (
        args
        or kwargs
        or layer._disable_adapters
        or layer.merged_adapters
        or not isinstance(name, str)
        or name not in layer.lora_A
        or name in layer.lora_variant
        or layer.lora_bias[name]
        or base.weight.requires_grad
        or (layer.training and not isinstance(layer.lora_dropout[name], nn.Identity))
    ):
        output: Tensor = type(layer).forward(layer, x, *args, **kwargs)
        return output
    numbers = (x, base.weight, base.bias, layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])
    if torch.is_grad_enabled():
        return _Lora.apply(*numbers)  # type: ignore[no-untyped-call, no-any-return]
    return _apply(*numbers)[0]


def _apply(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """Return the output and the adapter's inner states, `[N, R]`."""
    output = linear(x, weight, bias)  # exactly what the frozen model computes
    inner_NR = x.reshape(-1, x.shape[-1]).to(a.dtype) @ a.t()
    if output.dtype == b.dtype:
        output.view(-1, output.shape[-1]).addmm_(inner_NR, b.t(), alpha=scaling)
    else:
        wide = output.view(-1, output.shape[-1]).to(b.dtype).addmm_(inner_NR, b.t(), alpha=scaling)
        output = wide.to(output.dtype).view(output.shape)
    return output, inner_NR


class _Lora(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        output, inner_NR = _apply(x, weight, bias, a, b, scaling)
        ctx.save_for_backward(x, weight, a, b, inner_NR)
        ctx.scaling = scaling
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner_NR = ctx.saved_tensors
        grad_NO = grad.reshape(-1, grad.shape[-1])
        wide_NO = grad_NO.to(b.dtype)
        grad_NR = (wide_NO @ b).mul_(ctx.scaling)
        grad_x = grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_NO @ weight
            if grad_x.dtype == a.dtype:
                grad_x.addmm_(grad_NR, a)
            else:
                grad_x.add_(grad_NR @ a)
            grad_x = grad_x.view(x.shape)
        if ctx.needs_input_grad[3]:
            grad_a = grad_NR.t() @ x.reshape(-1, x.shape[-1]).to(a.dtype)
        if ctx.needs_input_grad[4]:
            grad_b = (wide_NO.t() @ inner_NR).mul_(ctx.scaling)
        return grad_x, None, None, grad_a, grad_b, None
