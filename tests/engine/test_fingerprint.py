"""One changed bit, anywhere, changes the fingerprint; storage and order of names do not."""

import numpy as np
import pytest
import torch

from unswayed.engine.hf.fingerprint import checksum, fingerprint


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
