r"""The sampled-token reverse KL and its policy gradient: what OPCT published (Han et al. 2026, arXiv 2605.21834).

    k_t = log π_θ(y_t|x,y_<t) − log π_0(y_t|x',y_<t)
    A_t = −λ Σ_{u≥t} γ^{u−t} w_u k_u                          no gradient; 0 where w_t = 0
    loss = −Σ_t ρ_t A_t,    ρ_t = π_θ(y_t) / behaviour(y_t)

k_t estimates the divergence, but its own gradient does not: the expectation of ∇k_t over the student's samples is 0.
The gradient flows through ρ_t alone. The discount γ chooses the objective (docs/losses.md): 0 is the divergence at
each position with the way there held fixed, 1 the divergence of whole sequences.

References: Schulman et al. 2017 (arXiv 1707.06347) for the clipped ratio; Lu 2025, "On-Policy Distillation" (Thinking
Machines Lab), for discount 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unswayed.core.types import LossOutput
from unswayed.losses.reduce import check_lengths, check_tokens, row_of_token, weighted, wide


def sampled_reverse_kl(
    student_logprobs_N: Tensor,
    teacher_logprobs_N: Tensor,
    weight_N: Tensor,
    lengths_B: Sequence[int],
    *,
    discount: float = 0.0,
    behaviour_logprobs_N: Tensor | None = None,
    clip: float | tuple[float, float] | None = None,
    kl_coef: float = 1.0,
    control_variate_N: Tensor | None = None,
    clamp: float | None = None,
) -> LossOutput:
    r"""Policy-gradient surrogate of the reverse KL on the student's own samples.

    Its gradient is an estimate of the objective's; its value is not the objective's, which is `kl/sampled`.

    Args:
        student_logprobs_N: `[N]`, of the sampled tokens under the student now; gradient flows here.
        teacher_logprobs_N: `[N]`, of the same tokens under the teacher; a constant.
        weight_N: `[N]`, weight w of each position's divergence. Tokens of weight 0 get no gradient and count in no
            one's future. A token is answerable for later divergences by their weights, not by its own.
        lengths_B: tokens of each row, end to end; a discounted sum ends with its row.
        discount: γ in [0, 1].
        behaviour_logprobs_N: `[N]`, with which the tokens were sampled, if not by the student as it is now, at the
            temperature they were sampled at. None makes every ratio 1.
        clip: PPO's bound on the ratio, ε for [1 − ε, 1 + ε] or (low, high); for several steps on one batch. Needs
            `behaviour_logprobs_N`.
        kl_coef: λ, multiplies the loss. Adam undoes it except for clipping and its ε.
        control_variate_N: `[N]`, K_t, known before y_t is drawn, taken off k_t at its own position only. Unbiased at
            every discount, whatever K is. With the exact divergence (`token_divergence`) it is quieter where the
            policy is broad and far from the teacher; a confident policy can make it noisier.
        clamp: bounds k_t to [−clamp, clamp] before anything else. Biased: it caps what one token can ask for.

    Returns:
        total: −Σ ρ A; count: Σ w. Metrics weighted by w: `kl/sampled` (k before the clamp); with `clamp`, `clamped`;
        with behaviour log-probabilities, `ratio` and `clipped` (the bound holds and stops the gradient).

    Raises:
        ValueError: shapes or options that do not fit, by name. Values that are not finite are returned as they come.
    """
    n = len(student_logprobs_N)
    check_tokens(
        n,
        teacher_logprobs_N=teacher_logprobs_N,
        weight_N=weight_N,
        behaviour_logprobs_N=behaviour_logprobs_N,
        control_variate_N=control_variate_N,
    )
    check_lengths(lengths_B, n)
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount}: it lies between 0 and 1")
    if clamp is not None and not clamp > 0:
        raise ValueError(f"clamp is {clamp}: give a number above 0 nats, or None")

    weight_N = weight_N.detach().to(student_logprobs_N.dtype)
    # A where, not a product: what is not trained may hold anything, and 0·NaN is NaN.
    trained_N = weight_N != 0
    zero_N = torch.zeros_like(weight_N)
    student_N = torch.where(trained_N, student_logprobs_N, zero_N)
    k_N = torch.where(trained_N, student_N.detach() - teacher_logprobs_N.detach(), zero_N)
    metrics_N = {"kl/sampled": k_N}
    if clamp is not None:
        metrics_N["clamped"] = k_N.abs() > clamp
        k_N = k_N.clamp(-clamp, clamp)

    cost_N = weight_N * k_N
    credit_N = _discounted_future(cost_N, lengths_B, discount)
    if control_variate_N is not None:
        cost_N = cost_N - torch.where(trained_N, weight_N * control_variate_N.detach(), zero_N)
    credit_N = credit_N + cost_N
    advantage_N = torch.where(trained_N, -kl_coef * credit_N, zero_N)
    return _surrogate(student_N, advantage_N, weight_N, behaviour_logprobs_N, clip, metrics_N)


def constant_penalty(
    student_logprobs_N: Tensor,
    weight_N: Tensor,
    *,
    below: float = 1.0,
    behaviour_logprobs_N: Tensor | None = None,
    clip: float | tuple[float, float] | None = None,
) -> LossOutput:
    r"""The same surrogate with a constant in place of a teacher: A_t = −w_t where π_θ(y_t) < `below`, else 0.

    A control: what is left when nobody says which tokens are better. At each state its expected gradient over the
    student's own draws is ∇ Σ_{v: π(v) < below} π_θ(v), the set held as it is: mass leaves the unlikely tokens. With
    `below` above every probability that sum is 1, and nothing is expected to move.

    Args:
        student_logprobs_N: `[N]`, of the sampled tokens under the student now; gradient flows here.
        weight_N: `[N]`, weight w of each token.
        below: a probability; tokens at least this likely get no gradient.
        behaviour_logprobs_N, clip: as in `sampled_reverse_kl`.

    Returns:
        total: −Σ ρ A; count: Σ w. Metrics weighted by w: `below`, the share of tokens under it, and those of ratios.

    Raises:
        ValueError: shapes or options that do not fit, by name. Values that are not finite are returned as they come.
    """
    check_tokens(len(student_logprobs_N), weight_N=weight_N, behaviour_logprobs_N=behaviour_logprobs_N)
    if not 0 < below <= 1:
        raise ValueError(f"below is {below}: give a probability above 0")
    weight_N = weight_N.detach().to(student_logprobs_N.dtype)
    zero_N = torch.zeros_like(weight_N)
    student_N = torch.where(weight_N != 0, student_logprobs_N, zero_N)
    chosen_N = (student_N.detach().exp() < below) | torch.full_like(weight_N, below == 1, dtype=torch.bool)
    advantage_N = torch.where(chosen_N, -weight_N, zero_N)
    return _surrogate(student_N, advantage_N, weight_N, behaviour_logprobs_N, clip, {"below": chosen_N})


def _surrogate(
    student_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    behaviour_logprobs_N: Tensor | None,
    clip: float | tuple[float, float] | None,
    metrics_N: dict[str, Tensor],
) -> LossOutput:
    """Return −Σ ρ A with its metrics; only tokens that carry weight may have an advantage."""
    low, high = _bounds(clip)
    if clip is not None and behaviour_logprobs_N is None:
        raise ValueError("clip needs behaviour_logprobs_N: without them every ratio is 1")
    zero_N = torch.zeros_like(weight_N)
    behaviour_N = student_N.detach() if behaviour_logprobs_N is None else behaviour_logprobs_N.detach()
    ratio_N = torch.where(weight_N != 0, student_N - behaviour_N, zero_N).exp()
    surrogate_N = ratio_N * advantage_N
    if clip is not None:
        bounded_N = ratio_N.clamp(1 - low, 1 + high) * advantage_N
        metrics_N["clipped"] = bounded_N.detach() < surrogate_N.detach()
        surrogate_N = torch.minimum(surrogate_N, bounded_N)
    if behaviour_logprobs_N is not None:
        metrics_N["ratio"] = ratio_N
    out = weighted(zero_N, weight_N, metrics_N)
    return LossOutput(-wide(surrogate_N).sum().to(surrogate_N.dtype), out.count, out.metrics)


def _discounted_future(values_N: Tensor, lengths_B: Sequence[int], discount: float) -> Tensor:
    r"""Return Σ_{u>t} γ^{u−t} values_u within each row, by doubling.

    The longest row takes log2 of its length in steps; no loop over tokens.

    Args:
        values_N: `[N]`, rows end to end.
        lengths_B: tokens of each row.
        discount: γ.
    """
    if discount == 0:
        return torch.zeros_like(values_N)
    row_N = row_of_token(lengths_B, values_N.device)
    sum_N, reach, factor = values_N, 1, discount
    # Before each step sum_t holds the terms u = t … t + reach − 1.
    while reach < max(lengths_B, default=0):
        within_N = row_N[:-reach] == row_N[reach:]
        further_N = torch.where(within_N, factor * sum_N[reach:], 0.0)
        sum_N = torch.cat([sum_N[:-reach] + further_N, sum_N[-reach:]])
        reach, factor = 2 * reach, factor * factor
    # Without the term u = t itself, taken from the next token rather than by subtraction.
    last_N = torch.ones_like(row_N, dtype=torch.bool)
    last_N[:-1] = row_N[:-1] != row_N[1:]
    return torch.where(last_N, 0.0, discount * sum_N.roll(-1))


def _bounds(clip: float | tuple[float, float] | None) -> tuple[float, float]:
    low, high = clip if isinstance(clip, tuple) else (clip or 0.0, clip or 0.0)
    if clip is not None and not (0 < low < 1 and high > 0):
        raise ValueError(f"clip is {clip}: give ε or (low, high) above 0, the low one under 1")
    return low, high
