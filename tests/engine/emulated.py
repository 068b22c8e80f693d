"""A device that is not the CPU, with real numbers, on a build of PyTorch that has no other: `emu:0`.

A tensor on it holds a CPU tensor. Every operation is carried out on the CPU, and a CPU tensor among its operands is an
error, as on a GPU. Counted are reads of single numbers (`item`), copies in both directions, operations whose result
has a shape that depends on data, and all operations. It registers a backend of PyTorch, which cannot be undone, so
tests use it in a process of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "emu"
COUNT: Counter[str] = Counter()
aten = torch.ops.aten
DYNAMIC = {
    aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
}  # fmt: skip
COPIES = (aten._to_copy.default, aten.copy_.default, aten._copy_from.default)


class Backend(_DummyBackendModule):  # type: ignore[misc]
    """What torch asks of a device's own module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class Emu(torch.Tensor):
    """A tensor on the device."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Emu:
        made = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        made.raw = raw
        return made

    def __repr__(self, **kwargs: Any) -> str:
        return f"Emu({self.raw!r})"

    def tolist(self) -> Any:
        """One synchronisation; torch refuses it for subclasses."""
        COUNT["item"] += 1
        return self.raw.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"cannot convert a tensor of {NAME} to numpy; copy it to the CPU first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    COUNT["ops"] += 1
    here = any(isinstance(each, Emu) for each in flat)
    target = kwargs.get("device")
    to_cpu = func is aten._to_copy.default and target is not None and torch.device(target).type == "cpu" and here
    _count(func, args, flat, here, to_cpu, target)
    if here and func not in COPIES:
        for each in flat:
            if isinstance(each, torch.Tensor) and not isinstance(each, Emu) and each.dim() > 0:
                raise RuntimeError(f"{func}: a CPU tensor {tuple(each.shape)} among tensors of {NAME}")
    if func is aten.is_pinned.default:
        return False
    plain_args, plain = tree_map_only(torch.Tensor, _raw, args), tree_map_only(torch.Tensor, _raw, kwargs)
    if _is_here(plain.get("device")):
        plain = {**plain, "device": torch.device("cpu")}
    out = func(*plain_args, **plain)
    if not func._schema.returns:
        return None
    if func is aten.copy_.default or (func._schema.name.endswith("_") and here):
        return args[0]
    wrap = (here and not to_cpu) or _is_here(target)
    return tree_map_only(torch.Tensor, lambda tensor: Emu(tensor) if wrap else tensor, out)


def _count(func: Any, args: Any, flat: list[Any], here: bool, to_cpu: bool, target: Any) -> None:
    if func is aten._local_scalar_dense.default:
        COUNT["item"] += 1
    by_mask = func is aten.index.Tensor and any(isinstance(one, Emu) and one.dtype == torch.bool for one in flat[1:])
    COUNT["dynamic"] += func in DYNAMIC or by_mask
    if func is aten.copy_.default:
        COUNT["to_cpu"] += isinstance(args[1], Emu) and not isinstance(args[0], Emu)
        COUNT["from_cpu"] += isinstance(args[0], Emu) and not isinstance(args[1], Emu)
    COUNT["to_cpu"] += to_cpu
    COUNT["from_cpu"] += func is aten._to_copy.default and _is_here(target) and not here


def _is_here(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.raw if isinstance(tensor, Emu) else tensor


class _Everything(TorchDispatchMode):
    """Also sees operations that make tensors on the device from none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_here(kwargs.get("device")) or any(isinstance(one, Emu) for one in tree_flatten((args, kwargs))[0]):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    _raw(target).copy_(_raw(source))
    COUNT["from_cpu" if isinstance(target, Emu) and not isinstance(source, Emu) else "to_cpu"] += 1
    return target


def register() -> torch.library.Library:
    """Make the device known to torch; the library lives as long as what is returned."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    library = torch.library.Library("aten", "IMPL")
    strided = lambda size, stride, dtype=None, **_: Emu(torch.empty_strided(size, stride, dtype=dtype))  # noqa: E731
    plain = lambda size, dtype=None, **_: Emu(torch.empty(size, dtype=dtype))  # noqa: E731

    def empty_strided(size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None,
                      pin_memory: Any = None) -> Emu:  # fmt: skip
        return strided(size, stride, dtype)

    def empty(size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
              memory_format: Any = None) -> Emu:  # fmt: skip
        return plain(size, dtype)

    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("empty.memory_format", empty, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    return library


def moved(model: Any) -> Any:
    """Put every parameter and buffer of a model on the device."""
    done: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                if id(parameter) not in done:
                    done[id(parameter)] = torch.nn.Parameter(Emu(parameter.data), requires_grad=parameter.requires_grad)
                module._parameters[name] = done[id(parameter)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = Emu(buffer)
    return model


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Run operations on the device, and count them from here on."""
    COUNT.clear()
    with _Everything():
        yield COUNT
