"""A checksum of tensors' exact bits, computed where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch

_CPU_CHUNK, _CHUNK = 1 << 16, 1 << 22  # numbers at once: on a CPU, as many as stay in the cache
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def checksums(tensors: Sequence[torch.Tensor]) -> list[int]:
    """Return a 64-bit checksum of each tensor's bits and their order, waiting for each device once.

    The bits are read as integers b_i and summed as b_i * (2i + 1) modulo 2^64. Integer sums are exact, so the value
    does not depend on device or thread count, and one changed element always changes it, because 2i + 1 is odd.
    """
    found = [0] * len(tensors)
    for device in {tensor.device for tensor in tensors}:
        places = [place for place, tensor in enumerate(tensors) if tensor.device == device]
        totals = torch.stack([_total(tensors[place]) for place in places]).tolist()
        for place, total in zip(places, totals, strict=True):
            found[place] = total % (1 << 64)
    return found


def _total(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum as an int64 tensor on the tensor's own device."""
    flat = tensor.detach().contiguous().view(-1).view(_INTEGERS[tensor.element_size()])
    size = min(flat.numel(), _CPU_CHUNK if flat.device.type == "cpu" else _CHUNK)
    odd = torch.arange(1, 2 * size + 1, 2, device=flat.device)
    total = torch.zeros((), dtype=torch.int64, device=flat.device)
    for start in range(0, flat.numel(), max(size, 1)):
        part = flat[start : start + size].to(torch.int64)
        total += (part * odd[: len(part)]).sum() + 2 * start * part.sum()  # the numbers of a chunk begin at 2·start + 1
    return total


def fingerprint(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return a hash over named tensors: names, shapes, types and bits, whatever the order they come in."""
    named = list(tensors)
    sums = checksums([tensor for _, tensor in named])
    lines = sorted(
        f"{name} {tensor.dtype} {tuple(tensor.shape)} {total}"
        for (name, tensor), total in zip(named, sums, strict=True)
    )
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()
