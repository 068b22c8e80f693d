"""Exact divergences: equal to the dense ones, to another implementation, and unmoved by how they are cut up."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_reference import divergence_of, grads, logits_of, normal

from unswayed import losses

torch.set_num_threads(1)

KINDS = ["reverse_kl", "forward_kl", "jsd"]
N, D, V = 7, 5, 11


def case(n: int = N, d: int = D, v: int = V, dtype: torch.dtype = torch.float64):
    student = normal(n, d, seed=0).to(dtype).requires_grad_()
    teacher = normal(n, d, seed=1).to(dtype)
    head = normal(v, d, seed=2).to(dtype)
    weight = torch.rand(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ids = torch.randint(v, (n,), generator=torch.Generator().manual_seed(4))
    return student, teacher, head, weight, ids


def dense(student, teacher, head, weight, *, kind, beta=0.5, bias=None, teacher_head=None, teacher_bias=None,
          clamp=None, **softmax):  # fmt: skip
    if teacher_head is None:
        teacher_head, teacher_bias = head, bias
    logp_s = logits_of(student, head, bias, **softmax).log_softmax(-1)
    with torch.no_grad():
        logp_t = logits_of(teacher, teacher_head, teacher_bias, **softmax).log_softmax(-1)
    value = divergence_of(logp_s, logp_t, kind, beta)
    if clamp is not None:
        value = value.clamp(max=clamp)
    return (weight * value).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("trained_head", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"softcap": 1.5},
        {"vocab": 9},
        {"clamp": 0.8},
        {"beta": 0.2},
        {"vocab": 8, "softcap": 3.0, "clamp": 1.0, "beta": 0.9},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_value_and_gradient_equal_dense_autograd(kind, chunk, trained_head, options):
    student, teacher, head, weight, _ = case()
    bias = normal(V, seed=5)
    wanted = [student]
    if trained_head:
        head.requires_grad_()
        bias.requires_grad_()
        wanted += [head, bias]
    out = losses.divergence(student, teacher, head, weight, kind=kind, chunk=chunk, head_bias=bias, **options)
    expected = dense(student, teacher, head, weight, kind=kind, bias=bias, **options)
    assert out.total.item() == pytest.approx(expected.item(), abs=1e-12)
    assert out.count == pytest.approx(weight.sum().item(), abs=1e-12)
    for ours, theirs in zip(grads(out.total, *wanted), grads(expected, *wanted), strict=True):
        assert (ours - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("teacher_width", [D, 8])
def test_a_teacher_with_its_own_head(kind, teacher_width):
    student, _, head, weight, _ = case()
    teacher, teacher_head = normal(N, teacher_width, seed=8), normal(V, teacher_width, seed=9)
    bias, teacher_bias = normal(V, seed=5), normal(V, seed=6)
    out = losses.divergence(
        student, teacher, head, weight, kind=kind, head_bias=bias, teacher_head=teacher_head, teacher_bias=teacher_bias
    )
    expected = dense(student, teacher, head, weight, kind=kind, bias=bias, teacher_head=teacher_head,
                     teacher_bias=teacher_bias)  # fmt: skip
    assert out.total.item() == pytest.approx(expected.item(), abs=1e-12)
    assert (grads(out.total, student)[0] - grads(expected, student)[0]).abs().max() < 1e-12


def test_only_the_head_may_be_trained():
    student, teacher, head, weight, _ = case()
    student.requires_grad_(False)
    head.requires_grad_()
    out = losses.divergence(student, teacher, head, weight, chunk=2)
    expected = dense(student, teacher, head, weight, kind="reverse_kl")
    assert (grads(out.total, head)[0] - grads(expected, head)[0]).abs().max() < 1e-12


def test_the_teacher_gets_no_gradient():
    student, teacher, head, weight, _ = case()
    teacher.requires_grad_()
    losses.reverse_kl(student, teacher, head, weight).total.backward()
    assert teacher.grad is None


@pytest.mark.parametrize(("beta", "kind"), [(0.0, "forward_kl"), (0.5, "jsd"), (0.3, "jsd"), (1.0, "reverse_kl")])
def test_equals_the_trl_kernel(beta, kind):
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    student, teacher, head, weight, _ = case(33, 16, 97, torch.float32)
    theirs, entropy = ChunkedDivergenceFunction.apply(student, head, None, teacher, head, None, beta)
    out = losses.divergence(student, teacher, head, weight, kind=kind, beta=beta, chunk=8)
    expected = (theirs.double() * weight).sum()
    assert out.total.item() == pytest.approx(expected.item(), rel=2e-6)
    assert out.metrics["entropy"][0] == pytest.approx((entropy.double() * weight).sum().item(), rel=2e-6)
    (ours,), (reference,) = grads(out.total, student), grads(expected, student)
    assert torch.allclose(ours, reference, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("n", "d", "chunk"), [(7, 5, None), (1, 13, None), (37, 24, 1), (37, 24, 16)])
def test_same_hidden_states_give_exactly_zero(kind, dtype, n, d, chunk):
    student, _, head, weight, ids = case(n, d, 301, dtype)
    out = losses.divergence(student, student.detach().clone(), head, weight, kind=kind, chunk=chunk, ids_N=ids)
    out.total.backward()
    assert out.total.item() == 0.0
    assert out.metrics["kl/exact"][0] == 0.0
    assert out.metrics["kl/sampled"][0] == 0.0
    assert torch.count_nonzero(student.grad) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 17])
@pytest.mark.parametrize("d", [13, 64])
@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_exactly_zero_wherever_the_teachers_states_lie_in_memory(n, d, offset, chunk):
    student = normal(n, d, seed=0).float().requires_grad_()
    teacher = torch.empty(n * d + offset)[offset:].view(n, d).copy_(student.detach())
    out = losses.reverse_kl(student, teacher, normal(513, d, seed=1).float(), torch.ones(n), chunk=chunk)
    out.total.backward()
    assert out.total.item() == 0.0
    assert torch.count_nonzero(student.grad) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_finite_differences(kind):
    student, teacher, head, weight, _ = case(3, 4, 6)
    head.requires_grad_()

    def total(student, head):
        return losses.divergence(student, teacher, head, weight[:3], kind=kind, teacher_head=head.detach() * 0.5).total

    # The teacher's head is a constant of the loss, so only the student is probed there.
    assert torch.autograd.gradcheck(lambda student: total(student, head.detach()), (student,))


def test_the_head_alone_by_finite_differences():
    student, teacher, head, weight, _ = case(3, 4, 6)
    fixed = head.clone()
    head.requires_grad_()
    bias = normal(6, seed=5).requires_grad_()

    def total(head, bias):
        return losses.reverse_kl(
            student.detach(), teacher, head, weight[:3], head_bias=bias, teacher_head=fixed, chunk=2
        ).total

    assert torch.autograd.gradcheck(total, (head, bias))


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    chunk=st.sampled_from([None, 1, 2, 4]),
    kind=st.sampled_from(KINDS),
)
def test_a_batch_is_the_sum_of_its_rows(lengths, chunk, kind):
    n = sum(lengths)
    student, teacher, head, weight, ids = case(n)
    whole = losses.divergence(student, teacher, head, weight, kind=kind, ids_N=ids)
    (whole_grad,) = grads(whole.total, student)
    parts = [
        losses.divergence(s, t, head, w, kind=kind, chunk=chunk, ids_N=i)
        for s, t, w, i in zip(*(x.split(lengths) for x in (student, teacher, weight, ids)), strict=True)
    ]
    (part_grad,) = grads(sum(part.total for part in parts), student)
    assert abs(sum(part.total.item() for part in parts) - whole.total.item()) < 1e-12
    assert abs(sum(part.count for part in parts) - whole.count) < 1e-12
    assert part_grad.shape == whole_grad.shape
    assert torch.allclose(part_grad, whole_grad, rtol=0, atol=1e-12)
    for name, (value, count) in whole.metrics.items():
        assert abs(sum(part.metrics[name][0] for part in parts) - value) < 1e-11
        assert abs(sum(part.metrics[name][1] for part in parts) - count) < 1e-12


@settings(deadline=None, max_examples=40)
@given(mask=st.lists(st.booleans(), min_size=N, max_size=N), kind=st.sampled_from(KINDS))
def test_masking_is_slicing(mask, kind):
    student, teacher, head, weight, ids = case()
    keep = torch.tensor(mask)
    masked = losses.divergence(student, teacher, head, weight * keep, kind=kind, ids_N=ids)
    sliced = losses.divergence(student[keep], teacher[keep], head, weight[keep], kind=kind, ids_N=ids[keep])
    assert masked.total.item() == sliced.total.item()
    assert masked.count == sliced.count
    assert masked.metrics == sliced.metrics
    assert torch.equal(grads(masked.total, student)[0], grads(sliced.total, student)[0])


def test_what_is_masked_may_be_anything():
    student, teacher, head, weight, _ = case()
    weight[2] = 0
    clean = losses.reverse_kl(student, teacher, head, weight)
    with torch.no_grad():
        student[2], teacher[2] = math.nan, math.inf
    dirty = losses.reverse_kl(student, teacher, head, weight)
    assert dirty.total.item() == clean.total.item()
    assert torch.equal(grads(dirty.total, student)[0], grads(clean.total, student)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("clamp", [None, 1.0])
def test_what_is_not_finite_stays_not_finite(kind, bad, clamp):
    student, teacher, head, weight, _ = case()
    with torch.no_grad():
        student[3] = bad
    out = losses.divergence(student, teacher, head, weight, kind=kind, clamp=clamp)
    assert not math.isfinite(out.total.item())
    assert not torch.isfinite(grads(out.total, student)[0][3]).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_finite_with_huge_activations(kind, dtype):
    student = normal(6, 8, seed=0, scale=1e4).to(dtype).requires_grad_()
    teacher = normal(6, 8, seed=1, scale=1e4).to(dtype)
    head = normal(50, 8, seed=2).to(dtype)
    ids = torch.arange(6)
    out = losses.divergence(student, teacher, head, torch.ones(6), kind=kind, ids_N=ids)
    out.total.backward()
    assert math.isfinite(out.total.item())
    assert torch.isfinite(student.grad).all()
    assert student.grad.dtype == dtype
    assert all(math.isfinite(value) for value, _ in out.metrics.values())


@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_products_are_accumulated_in_float32(kind):
    student, teacher, head, weight, _ = case(20, 64, 400, torch.bfloat16)
    out = losses.divergence(student, teacher, head, weight, kind=kind)
    (ours,) = grads(out.total, student)
    wide = student.detach().double().requires_grad_()
    expected = dense(wide, teacher.double(), head.double(), weight, kind=kind)
    assert out.total.dtype == torch.float32
    assert out.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(ours.double(), grads(expected, wide)[0], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_to_train_gives_zero_and_a_usable_gradient(n):
    student, teacher, head, _, ids = case(n)
    out = losses.divergence(student, teacher, head, torch.zeros(n), ids_N=ids)
    assert out.total.item() == 0.0
    assert out.count == 0.0
    assert set(out.metrics.values()) == {(0.0, 0.0)}
    out.total.backward()
    assert student.grad.shape == student.shape
    assert torch.count_nonzero(student.grad) == 0


def test_metrics_are_what_they_are_called():
    student, teacher, head, weight, ids = case()
    logp_s = logits_of(student, head).log_softmax(-1).detach()
    logp_t = logits_of(teacher, head).log_softmax(-1)
    at_s, at_t = (logp.gather(1, ids[:, None])[:, 0] for logp in (logp_s, logp_t))
    expected = {
        "kl/exact": divergence_of(logp_s, logp_t, "reverse_kl"),
        "kl/sampled": at_s - at_t,
        "entropy": -(logp_s.exp() * logp_s).sum(-1),
        "logp/student": at_s,
        "logp/teacher": at_t,
    }
    for kind in KINDS:
        out = losses.divergence(student, teacher, head, weight, kind=kind, ids_N=ids, chunk=3)
        assert out.metrics.keys() == expected.keys()
        for name, value in expected.items():
            total, count = out.metrics[name]
            assert total == pytest.approx((weight * value).sum().item(), abs=1e-12)
            assert count == out.count
    assert losses.reverse_kl(student, teacher, head, weight).metrics.keys() == {"kl/exact", "entropy"}


def test_clamp_counts_what_it_cut():
    student, teacher, head, weight, _ = case()
    values = losses.token_divergence(student, teacher, head).value_N.detach()
    limit = values.median().item()
    out = losses.reverse_kl(student, teacher, head, weight, clamp=limit)
    assert out.metrics["clamped"][0] == pytest.approx(weight[values > limit].sum().item())
    assert out.metrics["kl/exact"][0] == pytest.approx((weight * values).sum().item(), abs=1e-12)


def test_forward_kl_is_the_reverse_kl_the_other_way_round():
    student, teacher, head, weight, _ = case()
    there = losses.forward_kl(student, teacher, head, weight).total
    back = losses.reverse_kl(teacher, student.detach(), head, weight).total
    assert there.item() == pytest.approx(back.item(), abs=1e-12)


@given(beta=st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=40)
def test_jsd_is_bounded_and_symmetric(beta):
    student, teacher, head, _, _ = case()
    ones = torch.ones(N)
    there = losses.token_divergence(student.detach(), teacher, head, kind="jsd", beta=beta).value_N
    back = losses.token_divergence(teacher, student.detach(), head, kind="jsd", beta=1 - beta).value_N
    assert torch.allclose(there, back, rtol=0, atol=1e-12)
    bound = -(beta * math.log(beta) + (1 - beta) * math.log(1 - beta))
    assert (there >= 0).all()
    assert (there <= bound + 1e-12).all()
    far = losses.jsd(1e3 * student.detach(), 1e3 * teacher, head, ones, beta=beta)
    assert far.total.item() <= N * bound + 1e-9


def test_forward_kl_on_forced_completions_is_cross_entropy_less_the_teachers_entropy():
    student, teacher, head, weight, _ = case()
    logp_s, p_t = logits_of(student, head).log_softmax(-1), logits_of(teacher, head).softmax(-1)
    cross_entropy = -(weight[:, None] * p_t * logp_s).sum()
    teacher_entropy = -(weight[:, None] * p_t * p_t.log()).sum()
    out = losses.forward_kl(student, teacher, head, weight)
    assert out.total.item() == pytest.approx((cross_entropy - teacher_entropy).item(), abs=1e-12)
    assert (grads(out.total, student)[0] - grads(cross_entropy, student)[0]).abs().max() < 1e-12


def test_no_third_product_and_no_graph_when_nothing_is_trained():
    student, teacher, head, weight, _ = case()
    assert not losses.reverse_kl(student.detach(), teacher, head, weight).total.requires_grad
    with torch.no_grad():
        assert not losses.reverse_kl(student, teacher, head, weight).total.requires_grad


def test_autocast_changes_nothing():
    student, teacher, head, weight, _ = case(dtype=torch.float32)
    plain = losses.reverse_kl(student, teacher, head, weight).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = losses.reverse_kl(student, teacher, head, weight).total
    assert torch.equal(plain, cast)


def test_the_loss_never_holds_a_row_of_logits_for_every_token():
    student, teacher, head, weight, _ = case(64, 4, 1000, torch.float32)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple) else (out,):
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return out

    with Watch():
        losses.reverse_kl(student, teacher, head, weight, chunk=8, head_bias=torch.zeros(1000)).total.backward()
    assert largest <= 8 * 1000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_N": torch.ones(N + 1)}, "weight_N"),
        ({"hidden_teacher_ND": normal(N + 1, D, seed=0)}, "hidden_teacher_ND"),
        ({"head_VD": normal(V, D + 1, seed=0)}, "head_VD"),
        ({"hidden_teacher_ND": normal(N, D + 1, seed=0)}, "teacher_head"),
        ({"ids_N": torch.full((N,), V)}, "ids_N"),
        ({"ids_N": torch.full((N,), -1)}, "ids_N"),
        ({"ids_N": torch.zeros(N)}, "ids_N"),
        ({"vocab": V + 1}, "vocab"),
        ({"vocab": 0}, "vocab"),
        ({"kind": "kl"}, "kind"),
        ({"kind": "jsd", "beta": 1.0}, "beta"),
        ({"softcap": 0.0}, "softcap"),
        ({"chunk": 0}, "chunk"),
        ({"clamp": -1.0}, "clamp"),
        ({"head_bias": torch.zeros(V - 1, dtype=torch.float64)}, "head_bias"),
        ({"teacher_bias": torch.zeros(V, dtype=torch.float64)}, "teacher_bias"),
        ({"teacher_head": normal(V - 1, D, seed=0)}, "vocab"),
        ({"head_VD": normal(V, D, seed=0).float()}, "float64"),
    ],
)
def test_bad_input_is_named(change, words):
    student, teacher, head, weight, ids = case()
    given = {"hidden_student_ND": student, "hidden_teacher_ND": teacher, "head_VD": head, "weight_N": weight,
             "ids_N": ids} | change  # fmt: skip
    with pytest.raises(ValueError, match=words):
        losses.divergence(**given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trained_head", [False, True])
@pytest.mark.parametrize("width", [1, 4, 11])
def test_the_width_of_the_vocabularys_tiles_changes_rounding_only(kind, trained_head, width, monkeypatch):
    monkeypatch.setattr("unswayed.losses.head._TILE", width)
    student, teacher, head, weight, ids = case()
    bias, options = normal(V, seed=5), {"vocab": 10, "softcap": 2.0, "beta": 0.3}
    wanted = [student, head.requires_grad_()] if trained_head else [student]
    out = losses.divergence(
        student, teacher, head, weight, kind=kind, head_bias=bias, ids_N=ids.clamp(max=9), chunk=3, **options
    )
    expected = dense(student, teacher, head, weight, kind=kind, bias=bias, **options)
    assert out.total.item() == pytest.approx(expected.item(), abs=1e-12)
    for ours, theirs in zip(grads(out.total, *wanted), grads(expected, *wanted), strict=True):
        assert (ours - theirs).abs().max() < 1e-12
    logp = logits_of(student, head, bias, vocab=10, softcap=2.0).log_softmax(-1)
    assert out.metrics["entropy"][0] == pytest.approx((weight * -(logp.exp() * logp).sum(-1)).sum().item(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_many_tiles_of_half_precision_weights_equal_the_dense_loss_on_the_same_numbers(kind):
    student, teacher, head, weight, _ = case(9, 24, 3000, torch.float32)
    head = head.bfloat16()
    out = losses.divergence(student, teacher, head, weight, kind=kind)
    expected = dense(student.double(), teacher.double(), head.double(), weight, kind=kind)
    assert out.total.item() == pytest.approx(expected.item(), rel=1e-5)
    (ours,), (theirs,) = grads(out.total, student), grads(expected, student)
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()
