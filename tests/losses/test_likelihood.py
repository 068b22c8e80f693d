"""Log-probabilities of given tokens, and the cross-entropy made of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_reference import grads, logits_of, normal

from unswayed import losses

torch.set_num_threads(1)

N, D, V = 9, 6, 13


def case(n: int = N, d: int = D, v: int = V, dtype: torch.dtype = torch.float64):
    hidden = normal(n, d, seed=0).to(dtype).requires_grad_()
    head, bias = normal(v, d, seed=1).to(dtype), normal(v, seed=2).to(dtype)
    ids = torch.randint(v, (n,), generator=torch.Generator().manual_seed(3))
    weight = torch.rand(n, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return hidden, head, bias, ids, weight


def dense(hidden, head, ids, bias=None, **softmax):
    return logits_of(hidden, head, bias, **softmax).log_softmax(-1).gather(1, ids[:, None])[:, 0]


OPTIONS = [{}, {"vocab": 13}, {"softcap": 2.0}]


@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
@pytest.mark.parametrize("trained_head", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_token_logprobs_equal_dense_autograd(chunk, trained_head, options):
    hidden, head, bias, ids, upstream = case()
    wanted = [hidden]
    if trained_head:
        wanted += [head.requires_grad_(), bias.requires_grad_()]
    ours = losses.token_logprobs(hidden, head, ids, chunk=chunk, head_bias=bias, **options)
    theirs = dense(hidden, head, ids, bias, **options)
    assert (ours - theirs).abs().max() < 1e-12
    for a, b in zip(grads(ours @ upstream, *wanted), grads(theirs @ upstream, *wanted), strict=True):
        assert (a - b).abs().max() < 1e-12


def test_gradcheck():
    hidden, head, _, ids, _ = case(3, 3, 5)
    assert torch.autograd.gradcheck(lambda h: losses.token_logprobs(h, head, ids, chunk=2), (hidden,))
    head.requires_grad_()
    assert torch.autograd.gradcheck(lambda h, w: losses.token_logprobs(h, w, ids, chunk=2), (hidden, head))


@pytest.mark.parametrize("trained_head", [False, True])
def test_nll_equals_cross_entropy(trained_head):
    hidden, head, bias, ids, weight = case()
    wanted = [hidden, head.requires_grad_()] if trained_head else [hidden]
    out = losses.nll(hidden, head, ids, weight, head_bias=bias)
    expected = weight @ torch.nn.functional.cross_entropy(logits_of(hidden, head, bias), ids, reduction="none")
    assert out.total.item() == pytest.approx(expected.item(), abs=1e-12)
    assert out.count == pytest.approx(weight.sum().item())
    for a, b in zip(grads(out.total, *wanted), grads(expected, *wanted), strict=True):
        assert (a - b).abs().max() < 1e-12


def test_nll_metrics():
    hidden, head, _, ids, weight = case()
    ids[:4] = logits_of(hidden, head).argmax(-1)[:4]
    logp = logits_of(hidden, head).log_softmax(-1).detach()
    out = losses.nll(hidden, head, ids, weight, chunk=2)
    right = logp.argmax(-1) == ids
    assert out.metrics["accuracy"][0] == pytest.approx((weight * right).sum().item(), abs=1e-12)
    assert out.metrics["entropy"][0] == pytest.approx(-(weight[:, None] * logp.exp() * logp).sum().item(), abs=1e-12)
    assert all(count == out.count for _, count in out.metrics.values())


@settings(deadline=None, max_examples=30)
@given(mask=st.lists(st.booleans(), min_size=N, max_size=N), chunk=st.sampled_from([None, 1, 2]))
def test_masking_is_slicing(mask, chunk):
    hidden, head, _, ids, weight = case()
    keep = torch.tensor(mask)
    masked = losses.nll(hidden, head, ids, weight * keep, chunk=chunk)
    sliced = losses.nll(hidden[keep], head, ids[keep], weight[keep], chunk=chunk)
    assert masked.total.item() == sliced.total.item()
    assert masked.metrics == sliced.metrics
    assert torch.equal(grads(masked.total, hidden)[0], grads(sliced.total, hidden)[0])


def test_the_id_of_a_masked_token_may_be_anything():
    hidden, head, _, ids, weight = case()
    weight[1], ids[1] = 0.0, -100
    assert math.isfinite(losses.nll(hidden, head, ids, weight).total.item())
    weight[1] = 1.0
    with pytest.raises(ValueError, match="ids_N"):
        losses.nll(hidden, head, ids, weight)


def test_confident_and_wrong_is_finite_and_exact():
    head = torch.eye(3, dtype=torch.float32)
    hidden = torch.tensor([[1e4, 0.0, 0.0]], requires_grad=True)
    out = losses.nll(hidden, head, torch.tensor([1]), torch.ones(1))
    out.total.backward()
    assert out.total.item() == 1e4
    assert hidden.grad.tolist() == [[1.0, -1.0, 0.0]]


@pytest.mark.parametrize("n", [0, 2])
def test_nothing_to_train(n):
    hidden, head, _, ids, _ = case(n)
    out = losses.nll(hidden, head, ids, torch.zeros(n))
    out.total.backward()
    assert (out.total.item(), out.count) == (0.0, 0.0)
    assert torch.count_nonzero(hidden.grad) == 0


def test_not_finite_is_returned():
    hidden, head, _, ids, weight = case()
    with torch.no_grad():
        hidden[0] = math.nan
    assert math.isnan(losses.nll(hidden, head, ids, weight).total.item())


def test_bfloat16():
    hidden, head, _, ids, weight = case(20, 64, 400, torch.bfloat16)
    out = losses.nll(hidden, head, ids, weight)
    wide = hidden.detach().double().requires_grad_()
    expected = -(weight @ dense(wide, head.double(), ids))
    assert out.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(grads(out.total, hidden)[0].double(), grads(expected, wide)[0], rtol=1e-2, atol=1e-3)


def test_17_distilling_ones_own_draws_has_no_gradient_as_a_sum_and_one_as_a_mean() -> None:
    """Every completion of at most two of three tokens, the first of which stops, by its chance."""
    theta = normal(3 + 9, seed=5).requires_grad_()
    rows = {(): theta[:3], (1,): theta[6:9], (2,): theta[9:]}
    sequences = [(0,), *((first, second) for first in (1, 2) for second in range(3))]
    total, mean, chances = torch.zeros_like(theta), torch.zeros_like(theta), 0.0
    for ids in sequences:
        hidden = torch.stack([rows[ids[:t]] for t in range(len(ids))])
        out = losses.nll(hidden, torch.eye(3, dtype=theta.dtype), torch.tensor(ids), torch.ones(len(ids)))
        (gradient,) = torch.autograd.grad(out.total, theta, retain_graph=True)
        chance = float((-out.total.detach()).exp())
        chances += chance
        total, mean = total + chance * gradient, mean + chance * gradient / out.count
    assert chances == pytest.approx(1, abs=1e-12)
    assert float(total.abs().max()) < 1e-12
    assert float(mean.abs().max()) > 1e-2
