"""One changed bit, anywhere, changes the fingerprint; storage and order of names do not."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unswayed.engine.hf.fingerprint import checksums, fingerprint


def checksum(tensor: torch.Tensor) -> int:
    return checksums([tensor])[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
def test_every_single_change_is_seen(dtype: torch.dtype) -> None:
    tensor = torch.arange(64, dtype=torch.float32).to(dtype)
    expected = checksum(tensor)
    for i in range(64):
        changed = tensor.clone()
        changed[i] = changed[i] + 1
        assert checksum(changed) != expected


def test_the_lowest_bit_counts() -> None:
    tensor = torch.ones(10)
    changed = tensor.clone()
    changed.view(torch.int32)[3] ^= 1
    assert checksum(changed) != checksum(tensor)


def test_swapped_elements_are_seen() -> None:
    assert checksum(torch.tensor([1.0, 2.0])) != checksum(torch.tensor([2.0, 1.0]))


def test_strides_do_not_matter() -> None:
    tensor = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert checksum(tensor.t().contiguous().t()) == checksum(tensor)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.arange(100.0) - 50
    whole = checksum(tensor)
    monkeypatch.setattr("unswayed.engine.hf.fingerprint._CPU_CHUNK", 7)
    assert checksum(tensor) == whole


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 50])
def test_it_is_the_sum_that_it_says(dtype: torch.dtype, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unswayed.engine.hf.fingerprint._CPU_CHUNK", 7)
    tensor = (100 * torch.randn(size, generator=torch.Generator().manual_seed(0))).abs().to(dtype)
    before = tensor.clone()
    kind = {1: "u1", 2: "<i2", 4: "<i4", 8: "<i8"}[tensor.element_size()]
    bits = np.frombuffer(bytes(tensor.view(torch.uint8).numpy()) if size else b"", dtype=kind)
    assert checksum(tensor) == sum(int(b) * (2 * i + 1) for i, b in enumerate(bits)) % 2**64
    assert torch.equal(tensor, before)


def test_names_and_shapes_count_and_order_does_not() -> None:
    a, b = torch.zeros(2), torch.ones(2)
    assert fingerprint([("a", a), ("b", b)]) == fingerprint([("b", b), ("a", a)])
    assert fingerprint([("a", a), ("b", b)]) != fingerprint([("a", b), ("b", a)])
    assert fingerprint([("a", a)]) != fingerprint([("a", a.view(1, 2))])


class _Waits(TorchDispatchMode):
    """Counts what would make the host wait for a device: numbers that are read from a tensor."""

    waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.waits += func.name().startswith("aten::_local_scalar_dense")
        return func(*args, **(kwargs or {}))


def test_many_tensors_are_one_wait() -> None:
    """`tolist` copies once; reading each sum by itself would be a wait for every tensor."""
    tensors = [torch.randn(3, 70_000) for _ in range(5)]
    with _Waits() as counted:
        found = checksums(tensors)
    assert counted.waits == 0
    with _Waits() as each:
        assert [int(torch.tensor(value)) for value in (1, 2)] == [1, 2]
    assert each.waits == 2, "the counter sees a number that is read alone"
    assert found == [checksums([tensor])[0] for tensor in tensors]
    assert checksums([]) == []
