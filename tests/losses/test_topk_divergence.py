"""The coarse divergence: the student's top-k tokens, and one bucket for everything else."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_reference import grads, logits_of, normal

from unswayed import losses

torch.set_num_threads(1)

N, D, V = 6, 5, 12
ONES = torch.ones(N, dtype=torch.float64)


def case(seed: int = 0, scale: float = 1.0):
    return normal(N, D, seed=seed, scale=scale).requires_grad_(), normal(N, D, seed=seed + 1), normal(V, D, seed=2)


def dense(student, teacher, head, k, **softmax):
    """Merge the columns outside the student's top-k, then take the KL of what is left."""
    p, q = logits_of(student, head, **softmax).softmax(-1), logits_of(teacher, head, **softmax).softmax(-1)
    top = p.topk(k).indices
    tail = torch.ones_like(p).scatter(1, top, 0.0)
    p_k = torch.cat([p.gather(1, top), (p * tail).sum(-1, keepdim=True)], 1)
    q_k = torch.cat([q.gather(1, top), (q * tail).sum(-1, keepdim=True)], 1)
    if k == p.shape[1]:
        p_k, q_k = p_k[:, :-1], q_k[:, :-1]
    return (p_k * (p_k.log() - q_k.log())).sum(-1)


@pytest.mark.parametrize("k", [1, 3, V - 1, V])
@pytest.mark.parametrize("chunk", [None, 1, 4])
@pytest.mark.parametrize("options", [{}, {"softcap": 2.0}], ids=str)
def test_value_and_gradient_equal_dense_autograd(k, chunk, options):
    student, teacher, head = case()
    out = losses.topk_divergence(student, teacher, head, ONES, k=k, chunk=chunk, **options)
    expected = dense(student, teacher, head, k, **options).sum()
    assert out.total.item() == pytest.approx(expected.item(), abs=1e-12)
    assert (grads(out.total, student)[0] - grads(expected, student)[0]).abs().max() < 1e-12


def test_a_trained_head():
    student, teacher, head = case()
    frozen = head.clone()
    out = losses.topk_divergence(student, teacher, head.requires_grad_(), ONES, k=3, teacher_head=frozen, chunk=4)
    q = logits_of(teacher, frozen)
    p = logits_of(student, head)
    expected = dense(p, q, torch.eye(V, dtype=torch.float64), 3).sum()
    for a, b in zip(grads(out.total, student, head), grads(expected, student, head), strict=True):
        assert (a - b).abs().max() < 1e-12


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 500), scale=st.sampled_from([1e-4, 0.1, 1.0, 10.0, 100.0]))
def test_never_negative_monotone_in_k_and_exact_at_the_end(seed, scale):
    student, teacher, head = case(seed, scale)
    exact = losses.token_divergence(student, teacher, head).value_N
    values = [losses.topk_divergence(student, teacher, head, ONES, k=k).total.item() for k in range(1, V + 1)]
    assert values[0] >= 0
    for small, large in itertools.pairwise(values):
        assert small <= large + 1e-12 * max(1.0, large)
    assert values[-1] == pytest.approx(exact.sum().item(), rel=1e-12, abs=1e-12)


def test_a_token_the_teacher_thinks_impossible_costs_what_it_costs():
    head = torch.eye(4, dtype=torch.float64)
    student = torch.tensor([[0.0, -50.0, -50.0, -50.0]], dtype=torch.float64)
    teacher = torch.tensor([[-400.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    out = losses.topk_divergence(student, teacher, head, torch.ones(1), k=1)
    assert out.total.item() == pytest.approx(400 + math.log(3), rel=1e-9)


def test_metrics():
    student, teacher, head = case()
    ids = torch.arange(N)
    out = losses.topk_divergence(student, teacher, head, ONES, k=3, ids_N=ids)
    exact = losses.reverse_kl(student, teacher, head, ONES, ids_N=ids)
    for name, (value, count) in exact.metrics.items():
        assert out.metrics[name][0] == pytest.approx(value, abs=1e-12)
        assert out.metrics[name][1] == count
    p = logits_of(student, head).softmax(-1)
    q = logits_of(teacher, head).softmax(-1)
    top = p.topk(3).indices
    assert out.metrics["tail/student"][0] == pytest.approx((1 - p.gather(1, top).sum(-1)).sum().item(), abs=1e-12)
    assert out.metrics["tail/teacher"][0] == pytest.approx((1 - q.gather(1, top).sum(-1)).sum().item(), abs=1e-12)


def test_same_hidden_states_give_exactly_zero():
    student, _, head = case()
    out = losses.topk_divergence(student, student.detach().clone(), head, ONES, k=2)
    out.total.backward()
    assert out.total.item() == 0.0
    assert torch.count_nonzero(student.grad) == 0


@settings(deadline=None, max_examples=30)
@given(mask=st.lists(st.booleans(), min_size=N, max_size=N))
def test_masking_is_slicing(mask):
    student, teacher, head = case()
    keep = torch.tensor(mask)
    masked = losses.topk_divergence(student, teacher, head, ONES * keep, k=2)
    sliced = losses.topk_divergence(student[keep], teacher[keep], head, ONES[keep], k=2)
    assert masked.total.item() == sliced.total.item()
    assert masked.metrics == sliced.metrics
    assert torch.equal(grads(masked.total, student)[0], grads(sliced.total, student)[0])


@pytest.mark.parametrize("k", [0, V + 1])
def test_bad_k_is_named(k):
    student, teacher, head = case()
    with pytest.raises(ValueError, match="k"):
        losses.topk_divergence(student, teacher, head, ONES, k=k)
