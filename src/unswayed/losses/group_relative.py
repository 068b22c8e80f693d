r"""Group-relative policy optimisation on sampled tokens (Shao et al. 2024, arXiv 2402.03300, equations 3 and 4).

    loss = Σ_t w_t [ −min(ρ_t A, clip(ρ_t, 1 − ε, 1 + ε) A) + β k_t ]
    ρ_t = π_θ(y_t) / behaviour(y_t)          k_t = r_t − log r_t − 1,    r_t = π_ref(y_t) / π_θ(y_t)

On the policy's own samples the gradient of k_t is that of a divergence: E_π[∇k] = −E_π[r ∇log π] = ∇ KL(π_ref ‖ π_θ).
A term that is log π_θ − log π_ref itself has gradient ∇log π_θ, which is 0 on average and holds nothing back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.reduce import check_tokens, weighted


def group_advantages(rewards: Tensor) -> Tensor | None:
    """Return (reward − mean) / standard deviation over a group, `[G]`; None where all rewards are equal.

    Raises:
        ValueError: fewer than two rewards, or one that is not finite.
    """
    if rewards.dim() != 1 or len(rewards) < 2 or not torch.isfinite(rewards).all():
        raise ValueError(f"a group has at least two finite rewards, got {rewards.tolist()}")
    spread = rewards.std(correction=0)
    return None if spread < 1e-6 else (rewards - rewards.mean()) / spread


def group_relative(
    logprobs_N: Tensor,
    behaviour_logprobs_N: Tensor,
    reference_logprobs_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    *,
    clip: float = 0.2,
    kl_coef: float = 0.1,
) -> LossOutput:
    """Return the summed loss above.

    Args:
        logprobs_N: `[N]`, of the sampled tokens under the policy now; gradient flows here.
        behaviour_logprobs_N, reference_logprobs_N: `[N]`, under the policy that drew them, and under the reference.
        advantage_N: `[N]`, of the sequence that each token belongs to.
        weight_N: `[N]`; one over its turn's tokens makes the mean of a turn.
        clip: ε. kl_coef: β.

    Returns:
        total in the unit of the advantage; count: Σ w. Metrics, weighted likewise: `kl/reference` (k), `ratio`, and
        `clipped` (the bound holds and stops the gradient).

    Raises:
        ValueError: shapes or options that do not fit, by name.
    """
    check_tokens(
        len(logprobs_N),
        behaviour_logprobs_N=behaviour_logprobs_N,
        reference_logprobs_N=reference_logprobs_N,
        advantage_N=advantage_N,
        weight_N=weight_N,
    )
    if not (0 < clip < 1 and kl_coef >= 0):
        raise ValueError(f"clip is {clip} and kl_coef {kl_coef}: clip lies between 0 and 1, kl_coef is at least 0")
    behaviour_N, reference_N, advantage_N = (
        tensor.detach().to(logprobs_N.dtype) for tensor in (behaviour_logprobs_N, reference_logprobs_N, advantage_N)
    )
    ratio_N = (logprobs_N - behaviour_N).exp()
    free_N, bounded_N = ratio_N * advantage_N, ratio_N.clamp(1 - clip, 1 + clip) * advantage_N
    log_r_N = reference_N - logprobs_N
    k_N = log_r_N.exp() - log_r_N - 1
    loss_N = kl_coef * k_N - torch.minimum(free_N, bounded_N)
    metrics = {"kl/reference": k_N.detach(), "ratio": ratio_N.detach(), "clipped": (bounded_N < free_N).detach()}
    return weighted(loss_N, weight_N.to(logprobs_N.dtype), metrics)
