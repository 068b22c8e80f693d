r"""Rounds of labelling and training, each on the labels of the last: how fast a behaviour takes over.

With a fixed operator of weights w(y), a model that becomes its labels has p′(y) = p(y) w(y) / E_p[w]: the replicator
equation. For a behaviour m the odds of the labels are those of the candidates times

    Λ = E[w | m = 1] / E[w | m = 0]

so where w depends on the behaviour alone, logit p grows by log Λ every round. Where it also differs inside the
behaviour, that holds for the first round, and later ones move faster upwards: what is favoured inside takes over too.
"""

from __future__ import annotations

import math

import numpy as np

from unswayed.stats.clusters import Floats


def multiplier(candidates: float, labels: float) -> float | None:
    """Return Λ from the rate among candidates and among labels; None where either is 0 or 1 and odds say nothing."""
    if not 0 < candidates < 1 or not 0 < labels < 1:
        return None
    return labels / (1 - labels) / (candidates / (1 - candidates))


def after_rounds(rate: float, lambda_: float, rounds: int) -> float:
    """Return the rate after so many rounds of a fixed operator that only sees the behaviour."""
    if rate in {0.0, 1.0}:
        return rate
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + rounds * math.log(lambda_))))


def rounds_to(rate: float, lambda_: float, target: float = 0.9) -> float | None:
    """Return after how many rounds the rate passes `target` (a fraction of a round included); None where never."""
    if rate >= target:
        return 0.0
    if rate <= 0 or lambda_ <= 1:
        return None
    return (math.log(target / (1 - target)) - math.log(rate / (1 - rate))) / math.log(lambda_)


def trajectory(law: Floats, weights: Floats, outcomes: Floats, rounds: int) -> Floats:
    """Return the rate of the behaviour before and after each of so many rounds of the replicator equation.

    Args:
        law: probability of each answer, [answers]. `weights`: w of each. `outcomes`: m of each.
        rounds: how many.
    """
    p = np.asarray(law, dtype=np.float64)
    rates = [float(p @ outcomes)]
    for _ in range(rounds):
        p = p * weights / (p @ weights)
        rates.append(float(p @ outcomes))
    return np.array(rates)
