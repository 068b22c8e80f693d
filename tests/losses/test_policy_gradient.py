"""The sampled estimator, held against gradients found by enumerating every sequence (3 tokens, 2 positions)."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_reference import normal

from unswayed import losses

torch.set_num_threads(1)

V, T = 3, 2
SEQUENCES = list(itertools.product(range(V), repeat=T))


class Policy:
    """An autoregressive softmax over every prefix: V logits first, then V for each first token."""

    def __init__(self, theta: torch.Tensor) -> None:
        self.theta = theta.requires_grad_()

    def logits(self, prefix: tuple[int, ...]) -> torch.Tensor:
        if not prefix:
            return self.theta[:V]
        return self.theta[V:].view(V, V)[prefix[0]]

    def logps(self, prefix: tuple[int, ...]) -> torch.Tensor:
        return self.logits(prefix).log_softmax(-1)

    def token_logprobs(self, sequence: tuple[int, ...]) -> torch.Tensor:
        return torch.stack([self.logps(sequence[:t])[token] for t, token in enumerate(sequence)])

    def probability(self, sequence: tuple[int, ...]) -> torch.Tensor:
        return self.token_logprobs(sequence).sum().exp()


SIZE = V + V * V
STUDENT, TEACHER = Policy(normal(SIZE, seed=11)), Policy(normal(SIZE, seed=12))


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.exp() * (p - q)).sum()


def position_kls(sequence, student=STUDENT, teacher=TEACHER):
    """The exact divergence at each prefix of a sequence, detached."""
    return torch.stack([kl(student.logps(sequence[:t]), teacher.logps(sequence[:t])) for t in range(T)]).detach()


def gradient(total: torch.Tensor, student=STUDENT) -> torch.Tensor:
    return torch.autograd.grad(total, student.theta, retain_graph=True)[0]


def expectation(surrogate, student=STUDENT) -> torch.Tensor:
    """Expected gradient under the student's own distribution, whose probabilities are held fixed."""
    return sum(student.probability(y).detach() * gradient(surrogate(y), student) for y in SEQUENCES)


def variance(surrogate, student=STUDENT) -> float:
    mean = expectation(surrogate, student)
    return sum(
        student.probability(y).item() * (gradient(surrogate(y), student) - mean).square().sum().item()
        for y in SEQUENCES
    )


def sampled(sequence, *, weight=(1.0, 1.0), student=STUDENT, teacher=TEACHER, **options):
    return losses.sampled_reverse_kl(
        student.token_logprobs(sequence),
        teacher.token_logprobs(sequence).detach(),
        torch.tensor(weight, dtype=torch.float64),
        [T],
        **options,
    )


def exact(sequence, student=STUDENT, teacher=TEACHER):
    """The exact divergence at the states that a sequence visits."""
    hidden_s, hidden_t = (torch.stack([p.logits(sequence[:t]) for t in range(T)]) for p in (student, teacher))
    return losses.reverse_kl(hidden_s, hidden_t, torch.eye(V, dtype=torch.float64), torch.ones(T))


def prefix_fixed_kl(weights=(1.0, 1.0)) -> torch.Tensor:
    """Sum of the per-position divergences; the chance of reaching a prefix gets no gradient."""
    first = weights[0] * kl(STUDENT.logps(()), TEACHER.logps(()))
    reach = STUDENT.logps(()).exp().detach()
    return first + weights[1] * sum(reach[a] * kl(STUDENT.logps((a,)), TEACHER.logps((a,))) for a in range(V))


def sequence_kl(weights=(1.0, 1.0), discount: float = 1.0) -> torch.Tensor:
    """Divergence of whole sequences; with weights, each position's share of it."""
    first = weights[0] * kl(STUDENT.logps(()), TEACHER.logps(()))
    reach = STUDENT.logps(()).exp()
    reach = discount * reach + (1 - discount) * reach.detach()
    return first + weights[1] * sum(reach[a] * kl(STUDENT.logps((a,)), TEACHER.logps((a,))) for a in range(V))


def close(a, b) -> bool:
    return (a - b).abs().max().item() < 1e-12


def test_backpropagating_the_sampled_log_ratio_teaches_nothing():
    naive = expectation(lambda y: (STUDENT.token_logprobs(y) - TEACHER.token_logprobs(y).detach()).sum())
    assert close(naive, torch.zeros_like(naive))
    assert gradient(sequence_kl()).abs().max() > 0.01


def test_discount_0_is_the_position_kl_with_prefixes_fixed():
    assert close(expectation(lambda y: sampled(y, discount=0.0).total), gradient(prefix_fixed_kl()))


def test_discount_1_is_the_sequence_kl():
    direct = sum(
        STUDENT.probability(y) * (STUDENT.token_logprobs(y) - TEACHER.token_logprobs(y).detach()).sum()
        for y in SEQUENCES
    )
    assert sequence_kl().item() == pytest.approx(direct.item(), abs=1e-12)
    assert close(gradient(sequence_kl()), gradient(direct))
    assert close(expectation(lambda y: sampled(y, discount=1.0).total), gradient(direct))


def test_discount_between_blends_the_two():
    assert close(expectation(lambda y: sampled(y, discount=0.6).total), gradient(sequence_kl(discount=0.6)))
    assert not torch.allclose(gradient(prefix_fixed_kl()), gradient(sequence_kl()), atol=1e-3)


@pytest.mark.parametrize("discount", [0.0, 1.0])
def test_weights_weigh_the_divergence_of_their_position(discount):
    weight = (0.3, 0.7)
    objective = sequence_kl(weight, discount)
    assert close(expectation(lambda y: sampled(y, weight=weight, discount=discount).total), gradient(objective))


def test_exact_divergence_has_the_expected_gradient_of_discount_0():
    assert close(expectation(lambda y: exact(y).total), expectation(lambda y: sampled(y).total))
    assert close(expectation(lambda y: exact(y).total), gradient(prefix_fixed_kl()))


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_control_variate_is_unbiased_and_quieter_for_a_broad_policy_far_from_the_teacher(discount, seed):
    student = Policy(0.3 * normal(SIZE, seed=seed))
    teacher = Policy(student.theta.detach() + 1.5 * normal(SIZE, seed=100 + seed))

    def plain(y):
        return sampled(y, student=student, teacher=teacher, discount=discount).total

    def with_variate(y):
        return sampled(
            y,
            student=student,
            teacher=teacher,
            discount=discount,
            control_variate_N=position_kls(y, student, teacher),
        ).total

    assert close(expectation(plain, student), expectation(with_variate, student))
    assert variance(with_variate, student) < 0.95 * variance(plain, student)


def test_any_number_known_before_the_token_is_an_unbiased_control_variate():
    def with_variate(y):
        guess = torch.tensor([0.4, (0.1, -0.3, 2.0)[y[0]]], dtype=torch.float64)
        return sampled(y, discount=1.0, control_variate_N=guess).total

    assert close(expectation(lambda y: sampled(y, discount=1.0).total), expectation(with_variate))


def test_subtracting_the_exact_kl_from_every_later_position_would_lose_all_credit():
    """Why the control variate is taken at the token's own position alone."""

    def surrogate(y):
        r = (STUDENT.token_logprobs(y) - TEACHER.token_logprobs(y)).detach() - position_kls(y)
        return (r.flip(0).cumsum(0).flip(0) * STUDENT.token_logprobs(y)).sum()

    assert close(expectation(surrogate), gradient(prefix_fixed_kl()))


def test_a_sample_independent_penalty_teaches_nothing():
    def surrogate(y):
        return (position_kls(y) * STUDENT.token_logprobs(y)).sum()

    assert close(expectation(surrogate), torch.zeros_like(STUDENT.theta))


def test_clipped_is_plain_at_ratio_1():
    for y in SEQUENCES:
        behaviour = STUDENT.token_logprobs(y).detach()
        plain, clipped = sampled(y), sampled(y, behaviour_logprobs_N=behaviour, clip=0.2)
        assert torch.equal(plain.total, clipped.total)
        assert torch.equal(gradient(plain.total), gradient(clipped.total))
        assert clipped.metrics["clipped"] == (0.0, 2.0)


def test_importance_ratio_corrects_a_stale_sampler():
    """With samples from another policy at one position, the ratio restores the on-policy expectation."""
    behaviour = normal(V, seed=20).log_softmax(-1)
    expected = 0
    for a in range(V):
        out = losses.sampled_reverse_kl(
            STUDENT.logps(())[a : a + 1], TEACHER.logps(())[a : a + 1].detach(), torch.ones(1), [1],
            behaviour_logprobs_N=behaviour[a : a + 1],
        )  # fmt: skip
        expected = expected + behaviour[a].exp() * gradient(out.total)
    assert close(expected, gradient(kl(STUDENT.logps(()), TEACHER.logps(()).detach())))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.1, 1.5])
def test_clip_by_hand(sign, ratio):
    student = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([-1.0 + sign], dtype=torch.float64)  # advantage = sign
    out = losses.sampled_reverse_kl(
        student, teacher, torch.ones(1), [1], behaviour_logprobs_N=student.detach() - math.log(ratio), clip=(0.2, 0.3)
    )
    bounded = min(max(ratio, 0.8), 1.3)
    assert out.total.item() == pytest.approx(-min(ratio * sign, bounded * sign), abs=1e-12)
    (grad,) = torch.autograd.grad(out.total, student)
    cut = (sign > 0 and ratio > 1.3) or (sign < 0 and ratio < 0.8)
    assert grad.item() == pytest.approx(0.0 if cut else -ratio * sign, abs=1e-12)
    assert out.metrics["clipped"] == (float(cut), 1.0)
    assert out.metrics["ratio"][0] == pytest.approx(ratio)


def loop_advantages(student, teacher, weight, lengths, discount):
    """The definition, token by token."""
    k = [(s - t) * w for s, t, w in zip(student, teacher, weight, strict=True)]
    advantage, start = [], 0
    for length in lengths:
        for t in range(start, start + length):
            credit = sum(discount ** (u - t) * k[u] for u in range(t, start + length))
            advantage.append(-credit if weight[t] else 0.0)
        start += length
    return advantage


@settings(deadline=None, max_examples=80)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    discount=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
def test_gradient_is_the_advantage_and_never_leaks_across_rows(lengths, discount, seed):
    n = sum(lengths)
    student, teacher = normal(n, seed=seed).requires_grad_(), normal(n, seed=seed + 1)
    weight = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed)).double() / 2
    out = losses.sampled_reverse_kl(student, teacher, weight, lengths, discount=discount, kl_coef=2.0)
    (grad,) = torch.autograd.grad(out.total, student)
    expected = loop_advantages(student.tolist(), teacher.tolist(), weight.tolist(), lengths, discount)
    assert torch.allclose(-grad / 2.0, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert out.count == pytest.approx(weight.sum().item())
    if n:
        assert out.metrics["kl/sampled"][0] == pytest.approx((weight * (student - teacher)).sum().item(), abs=1e-12)


def test_rows_alone_or_together():
    lengths = [3, 1, 4]
    student, teacher = normal(8, seed=0).requires_grad_(), normal(8, seed=1)
    weight = torch.tensor([1, 0, 1, 1, 1, 1, 0, 1.0], dtype=torch.float64)
    whole = losses.sampled_reverse_kl(student, teacher, weight, lengths, discount=0.9)
    parts = [
        losses.sampled_reverse_kl(s, t, w, [len(w)], discount=0.9)
        for s, t, w in zip(*(x.split(lengths) for x in (student, teacher, weight)), strict=True)
    ]
    (a,) = torch.autograd.grad(whole.total, student)
    (b,) = torch.autograd.grad(sum(part.total for part in parts), student)
    assert close(a, b)
    assert whole.total.item() == pytest.approx(sum(part.total.item() for part in parts), abs=1e-12)


def test_not_finite_in_one_row_stays_there_and_is_not_hidden():
    student, teacher = normal(4, seed=0).requires_grad_(), normal(4, seed=1)
    teacher[3] = -math.inf
    out = losses.sampled_reverse_kl(student, teacher, torch.ones(4), [2, 2], discount=0.9)
    assert not math.isfinite(out.total.item())
    (grad,) = torch.autograd.grad(out.total, student)
    assert torch.isfinite(grad).tolist() == [True, True, False, False]
    masked = losses.sampled_reverse_kl(student, teacher, torch.tensor([1, 1, 1, 0.0]), [2, 2], discount=0.9)
    assert math.isfinite(masked.total.item())
    (grad,) = torch.autograd.grad(masked.total, student)
    assert torch.isfinite(grad).all()
    assert grad[3] == 0


def test_clamp_winsorises_both_sides_and_counts():
    student = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([-9.0, 9.0, -1.0], dtype=torch.float64)
    out = losses.sampled_reverse_kl(student, teacher, torch.ones(3), [3], clamp=5.0)
    (grad,) = torch.autograd.grad(out.total, student)
    assert grad.tolist() == [5.0, -5.0, 1.0]
    assert out.metrics["clamped"] == (2.0, 3.0)
    assert out.metrics["kl/sampled"] == (1.0, 3.0)


def test_same_scores_on_both_sides_train_nothing():
    student = normal(5, seed=0).requires_grad_()
    out = losses.sampled_reverse_kl(student, student.detach().clone(), torch.ones(5), [2, 3], discount=0.9)
    (grad,) = torch.autograd.grad(out.total, student)
    assert out.total.item() == 0
    assert torch.count_nonzero(grad) == 0


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_empty(lengths):
    student = torch.zeros(0, dtype=torch.float64, requires_grad=True)
    out = losses.sampled_reverse_kl(student, torch.zeros(0), torch.zeros(0), lengths, discount=0.5)
    assert (out.total.item(), out.count) == (0.0, 0.0)
    out.total.backward()
    assert student.grad.shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lengths_B": [2, 2]}, "lengths_B"),
        ({"lengths_B": [4, -1]}, "lengths_B"),
        ({"teacher_logprobs_N": torch.zeros(2)}, "teacher_logprobs_N"),
        ({"weight_N": torch.zeros(2)}, "weight_N"),
        ({"discount": 1.5}, "discount"),
        ({"clip": 0.2}, "behaviour_logprobs_N"),
        ({"clip": -0.2, "behaviour_logprobs_N": torch.zeros(3)}, "clip"),
        ({"behaviour_logprobs_N": torch.zeros(4)}, "behaviour_logprobs_N"),
        ({"control_variate_N": torch.zeros(4)}, "control_variate_N"),
        ({"clamp": 0.0}, "clamp"),
    ],
)
def test_bad_input_is_named(change, words):
    given = {"student_logprobs_N": torch.zeros(3), "teacher_logprobs_N": torch.zeros(3), "weight_N": torch.ones(3),
             "lengths_B": [3]} | change  # fmt: skip
    with pytest.raises(ValueError, match=words):
        losses.sampled_reverse_kl(**given)


class Tempered(Policy):
    """The same student at another temperature: what its completions are drawn from."""

    def __init__(self, student: Policy, temperature: float) -> None:
        self.student, self.temperature = student, temperature

    def logps(self, prefix: tuple[int, ...]) -> torch.Tensor:
        return (self.student.logits(prefix).detach() / self.temperature).log_softmax(-1)


def tempered_kl(drawn: Policy, weights=(1.0, 1.0), discount: float = 0.0) -> torch.Tensor:
    """The divergence of the untempered student at the states that tempered draws visit.

    With a discount, each first token also answers for the log ratio that is drawn after it.
    """
    first = weights[0] * kl(STUDENT.logps(()), TEACHER.logps(()))
    reach = drawn.logps(()).exp()
    second = sum(reach[a] * kl(STUDENT.logps((a,)), TEACHER.logps((a,))) for a in range(V))
    ratios = [(drawn.logps((a,)).exp() * (STUDENT.logps((a,)) - TEACHER.logps((a,)))).sum().detach() for a in range(V)]
    return first + weights[1] * (second + discount * (STUDENT.logps(()).exp() * torch.stack(ratios)).sum())


def expected_under(drawn: Policy, surrogate) -> torch.Tensor:
    return sum(drawn.probability(y) * gradient(surrogate(y)) for y in SEQUENCES)


@pytest.mark.parametrize("temperature", [0.4, 0.7, 1.0, 1.2, 3.0])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("control", [False, True])
def test_18_tempered_draws_estimate_the_untempered_kl_at_the_states_they_visit(temperature, discount, control):
    drawn, weight = Tempered(STUDENT, temperature), (0.3, 0.7)

    def surrogate(y):
        known = position_kls(y) if control else None
        options = {"behaviour_logprobs_N": drawn.token_logprobs(y), "control_variate_N": known}
        return sampled(y, weight=weight, discount=discount, **options).total

    expected = gradient(tempered_kl(drawn, weight, discount))
    assert close(expected_under(drawn, surrogate), expected)
    if temperature == 1 and discount == 0:
        assert close(expected, gradient(prefix_fixed_kl(weight)))


@pytest.mark.parametrize("temperature", [0.4, 1.2])
def test_18_neither_untempered_ratios_nor_a_tempered_kl_would_do(temperature):
    """The two ways to go wrong, each visibly off at the same draws."""
    drawn = Tempered(STUDENT, temperature)
    right = gradient(tempered_kl(drawn))
    no_ratio = expected_under(drawn, lambda y: sampled(y).total)
    assert not torch.allclose(no_ratio, right, atol=1e-2)

    def tempered_k(y):
        ratio = (STUDENT.token_logprobs(y) - drawn.token_logprobs(y)).exp()
        return (ratio * (drawn.token_logprobs(y) - TEACHER.token_logprobs(y)).detach()).sum()

    assert not torch.allclose(expected_under(drawn, tempered_k), right, atol=1e-2)


def constant(sequence, *, weight=(1.0, 1.0), **options):
    return losses.constant_penalty(
        STUDENT.token_logprobs(sequence), torch.tensor(weight, dtype=torch.float64), **options
    )


def unlikely_mass(below: float, drawn: Policy, weights=(1.0, 1.0)) -> torch.Tensor:
    """The mass of unlikely tokens at the states that draws visit, which set it is held as it is."""

    def mass(prefix):
        chances = STUDENT.logps(prefix).exp()
        return chances[(chances < below).detach()].sum()

    reach = drawn.logps(()).exp().detach()
    return weights[0] * mass(()) + weights[1] * sum(reach[a] * mass((a,)) for a in range(V))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.2])
@pytest.mark.parametrize("below", [0.1, 0.3, 0.5])
def test_a_constant_penalty_takes_mass_from_unlikely_tokens_only(below, temperature):
    drawn, weight = Tempered(STUDENT, temperature), (0.3, 0.7)

    def surrogate(y):
        return constant(y, weight=weight, below=below, behaviour_logprobs_N=drawn.token_logprobs(y)).total

    expected = gradient(unlikely_mass(below, drawn, weight))
    assert expected.abs().max() > 1e-3
    assert close(expected_under(drawn, surrogate), expected)


def test_a_constant_penalty_for_all_tokens_moves_nothing_on_average():
    mean = expectation(lambda y: constant(y).total)
    assert close(mean, torch.zeros_like(mean))
    out = constant((0, 1))
    assert (out.total.item(), out.count, out.metrics["below"]) == (pytest.approx(2.0), 2.0, (2.0, 2.0))
    assert constant((0, 1), weight=(0.0, 0.5)).total.item() == pytest.approx(0.5)


def test_what_a_constant_penalty_refuses():
    for options, message in [({"below": 0.0}, "below is 0"), ({"clip": 0.2}, "clip needs behaviour")]:
        with pytest.raises(ValueError, match=message):
            constant((0, 1), **options)
