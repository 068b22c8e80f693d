"""The machine's own rates, measured in the same rounds as the arms: matrix products and walks through memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from bench.child import Control
from unswayed.models.load import default_dtype

SIDES = (512, 1024, 2048)  # of the square products
BYTES = 256 << 20  # of one buffer: larger than any cache
REPEATS = 3


def run(work: Any, control: Control) -> None:
    """Measure at each order."""
    dtype = getattr(torch, default_dtype("cpu") if work.dtype == "auto" else work.dtype)
    control.ready()
    for _ in control.orders():
        flops = max(2 * side**3 / _seconds(_product(side, dtype)) for side in SIDES)
        control.report(flops=flops, copy=2 * BYTES / _seconds(_copy()), read=BYTES / _seconds(_read()))


def _product(side: int, dtype: torch.dtype) -> Callable[[], object]:
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out)


def _copy() -> Callable[[], object]:
    source, target = torch.ones(BYTES // 4), torch.ones(BYTES // 4)
    return lambda: target.copy_(source)


def _read() -> Callable[[], object]:
    return torch.ones(BYTES // 4).sum


def _seconds(work: Callable[[], object]) -> float:
    """Return the shortest of a few runs, after one that does not count."""
    times = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])
