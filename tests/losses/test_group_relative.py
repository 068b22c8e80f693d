"""The group-relative loss against enumeration on a vocabulary of three."""

from __future__ import annotations

import math

import pytest
import torch

from unswayed.losses.group_relative import group_advantages, group_relative

REWARD = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)


def policy(theta: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(theta, -1)


@pytest.fixture
def setup() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    theta, reference, behaviour = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return theta.requires_grad_(), policy(reference), policy(behaviour)


def enumerated(theta: torch.Tensor, drawn: torch.Tensor, reference: torch.Tensor, **options: float) -> torch.Tensor:
    """Gradient of the loss averaged over every token that may be drawn, each with its probability."""
    advantage = REWARD - (drawn.exp() * REWARD).sum()
    out = group_relative(policy(theta), drawn, reference, advantage, drawn.exp().detach(), **options)
    (gradient,) = torch.autograd.grad(out.total, theta)
    return gradient


def test_on_policy_it_is_the_gradient_of_reward_and_of_the_divergence_to_the_reference(setup) -> None:  # type: ignore[no-untyped-def]
    theta, reference, _ = setup
    found = enumerated(theta, policy(theta).detach(), reference, kl_coef=0.7)
    logp = policy(theta)
    objective = -(logp.exp() * REWARD).sum() + 0.7 * (reference.exp() * (reference - logp)).sum()
    (wanted,) = torch.autograd.grad(objective, theta)
    assert torch.allclose(found, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("clip", [0.05, 0.2, 0.9])
def test_off_policy_each_token_is_clipped_on_its_own(setup, clip: float) -> None:  # type: ignore[no-untyped-def]
    theta, reference, behaviour = setup
    found = enumerated(theta, behaviour, reference, clip=clip, kl_coef=0.3)
    p, b, ref = policy(theta).detach().exp(), behaviour.exp(), reference.exp()
    advantage = REWARD - (b * REWARD).sum()
    wanted = torch.zeros(3, dtype=torch.float64)
    for y in range(3):
        ratio = float(p[y] / b[y])
        stopped = (advantage[y] > 0 and ratio > 1 + clip) or (advantage[y] < 0 and ratio < 1 - clip)
        score = torch.eye(3, dtype=torch.float64)[y] - p  # gradient of log p_y over the logits
        wanted += b[y] * (-(0.0 if stopped else ratio * advantage[y]) - 0.3 * (ref[y] / p[y] - 1)) * score
    assert torch.allclose(found, wanted, atol=1e-10, rtol=0)


def test_a_raw_log_ratio_would_hold_nothing_back(setup) -> None:  # type: ignore[no-untyped-def]
    theta, reference, _ = setup
    logp = policy(theta)
    (nothing,) = torch.autograd.grad((logp.exp().detach() * (logp - reference)).sum(), theta, retain_graph=True)
    assert nothing.abs().max() < 1e-12
    out = group_relative(logp, logp.detach(), reference, torch.zeros(3), logp.exp().detach(), kl_coef=1.0)
    (held,) = torch.autograd.grad(out.total, theta)
    assert held.abs().max() > 0.01


def test_advantages_of_a_group() -> None:
    found = group_advantages(torch.tensor([0.0, 1.0, 1.0, 0.0]))
    assert found is not None
    assert found.tolist() == [-1, 1, 1, -1]
    assert group_advantages(torch.tensor([0.5, 0.5])) is None
    for wrong in ([1.0], [], [math.nan, 1.0]):
        with pytest.raises(ValueError, match="at least two finite"):
            group_advantages(torch.tensor(wrong))


def test_options_and_shapes() -> None:
    zeros = torch.zeros(3)
    with pytest.raises(ValueError, match="clip is 1"):
        group_relative(zeros, zeros, zeros, zeros, zeros, clip=1.0)
    with pytest.raises(ValueError, match="advantage_N"):
        group_relative(zeros, zeros, zeros, torch.zeros(2), zeros)
