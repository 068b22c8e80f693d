r"""Sharpening: operators that seek the mode push a prompt's rate p away from one half.

    majority of k     φ(p) = P(Bin(k, p) > k/2) + ½ P(Bin(k, p) = k/2)
    temperature T     φ(p) = p^{1/T} / (p^{1/T} + (1 − p)^{1/T})
    greedy            φ(p) = 1 above one half, 0 below, ½ at it

All keep 0, ½ and 1, and the drift E[φ(p) − p] has the sign of where the rates lie around one half. Putting p̂ = s/n
into φ would be wrong: with n draws p̂ is spread by binomial noise, and φ is curved. The mixing distribution of p is
estimated instead, by nonparametric maximum likelihood over a grid (Laird 1978, JASA 73:805), which takes the noise out.
A token's temperature is not a behaviour's: where the drift was measured, the measurement counts and not this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from unswayed.core.seeding import rng
from unswayed.stats.clusters import ALPHA, Floats

GRID = np.linspace(0, 1, 101)
Map = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Mixing:
    """The distribution of prompts' rates: `weights` on the points of `rates`."""

    rates: Floats
    weights: Floats

    def mean_of(self, function: Map) -> float:
        """Return E[function(p)]."""
        return float(self.weights @ function(self.rates))

    def above(self, rate: float) -> float:
        """Return the share of prompts whose rate is above `rate`; above 0.9 it is the entrenchment index."""
        return float(self.weights[self.rates > rate + 1e-9].sum())


def majority(k: int) -> Map:
    """Return φ of the majority of k independent draws; of an even k a tie counts one half."""

    def phi(p: Floats) -> Floats:
        tie = stats.binom.pmf(k // 2, k, p) / 2 if k % 2 == 0 else 0.0
        return np.asarray(stats.binom.sf(k // 2, k, p) + tie, dtype=np.float64)

    return phi


def tempered(temperature: float) -> Map:
    """Return φ of drawing between two classes at a temperature above 0."""

    def phi(p: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            logit = (np.log(p) - np.log1p(-p)) / temperature
        return np.asarray(special.expit(logit), dtype=np.float64)

    return phi


def greedy(p: Floats) -> Floats:
    """Return φ of always taking the more likely class."""
    return np.where(np.isclose(p, 0.5, atol=1e-9), 0.5, (p > 0.5).astype(np.float64))


def mixing(counts: Sequence[tuple[int, int]], iterations: int = 4000) -> Mixing:
    """Return the most likely mixing distribution of binomial counts.

    Args:
        counts: (draws with the behaviour, draws) of each prompt; prompts without a scored draw have no place here.
        iterations: of the EM algorithm, which never lowers the likelihood.
    """
    kinds, weight = _kinds(counts)
    return Mixing(GRID, _em(_likelihood(kinds), weight[None], iterations)[0])


def optimality(counts: Sequence[tuple[int, int]], found: Mixing) -> float:
    """Return the largest directional derivative of the log-likelihood per prompt, minus 1: 0 at the maximum.

    (The general maximum likelihood theorem of Lindsay 1983, Annals of Statistics 11:86.)
    """
    kinds, weight = _kinds(counts)
    likelihood = _likelihood(kinds)
    slope = (weight / weight.sum() / (likelihood @ found.weights)) @ likelihood
    return float(slope.max() - 1)


def predicted_drift(
    counts: Sequence[tuple[int, int]],
    before: Map,
    candidates: Map,
    *,
    seed: int = 0,
    replicates: int = 400,
    iterations: int = 600,
) -> tuple[float, float, float]:
    """Return E[candidates(p) − before(p)] with its 95% interval over prompts.

    Args:
        counts: see `mixing`, of draws at temperature 1.
        before: map of the decoder that the model is judged by.
        candidates: map of the decoder that the candidates come from.
        seed, replicates: of the bootstrap over prompts.
        iterations: of EM in each replicate.
    """
    kinds, weight = _kinds(counts)
    likelihood = _likelihood(kinds)
    gain = candidates(GRID) - before(GRID)
    value = float(_em(likelihood, weight[None], 4000)[0] @ gain)
    total = int(weight.sum())
    boot = rng(seed, "sharpening").multinomial(total, weight / total, replicates).astype(np.float64)
    low, high = np.quantile(_em(likelihood, boot, iterations) @ gain, [ALPHA / 2, 1 - ALPHA / 2])
    return value, min(float(low), value), max(float(high), value)


def _kinds(counts: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], Floats]:
    found = Counter(counts)
    if not found or any(not 0 <= hits <= draws or draws < 1 for hits, draws in found):
        raise ValueError("counts are (hits, draws) with 0 <= hits <= draws and one draw or more, of one prompt or more")
    return list(found), np.array(list(found.values()), dtype=np.float64)


def _likelihood(kinds: Sequence[tuple[int, int]]) -> Floats:
    """Return P(hits | draws, p), [kinds, grid]."""
    hits, draws = np.array(kinds).T
    return np.asarray(stats.binom.pmf(hits[:, None], draws[:, None], GRID), dtype=np.float64)


def _em(likelihood: Floats, weights: Floats, iterations: int) -> Floats:
    """Return the mixing weights [samples, grid] of prompts counted [samples, kinds], all samples at once."""
    shares = weights / weights.sum(1, keepdims=True)
    found = np.full((len(weights), likelihood.shape[1]), 1 / likelihood.shape[1])
    for _ in range(iterations):
        found = found * ((shares / np.maximum(found @ likelihood.T, 1e-300)) @ likelihood)
    return found
