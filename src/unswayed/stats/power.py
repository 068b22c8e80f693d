"""How small a change a design can find, and how small a margin it can prove.

A difference that did not show is read beside the smallest one that would (`detectable_difference`), and a loss that
could not be ruled out beside the smallest margin that could have been proven (`provable_margin`). Both speak of a
repeat with as many pairs, of which as many flip, judged by the rule that judges this one: the interval at the level at
which it is asked to exclude zero. They are fractions of 1 like the rates themselves.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from unswayed.stats.clusters import ALPHA, FEWEST, quantile
from unswayed.stats.paired import Pairs, tango_statistic

POWER = 0.80
EXACT_FLIPS = 60
"""With fewer expected flips a margin's power is summed over every outcome; with more the normal law will do."""


def detectable_difference(pairs: Pairs, alpha: float = ALPHA) -> float | None:
    """Return the smallest true difference whose interval excludes zero in 80% of repeats; None where none would.

    Args:
        pairs: the design and its spread.
        alpha: one minus the confidence of the interval; smaller where it is adjusted for several claims.
    """
    if pairs.clusters < 2 or pairs.few:
        return None
    if math.isinf(pairs.freedom):
        return detectable(pairs.n, round(pairs.discordance, 6), alpha=alpha)
    found = _by_t(pairs, quantile(1 - alpha / 2, pairs.freedom))
    return None if found is None else pairs.scale * found


def _by_t(pairs: Pairs, critical: float) -> float | None:
    """Return the smallest difference that is found, by noncentral t for the statistic at zero, in scale units."""
    spread = max(pairs.discordance - (pairs.mean / pairs.scale) ** 2, 0.0)
    size = pairs.size if spread > 0 else pairs.effective

    def excess(difference: float) -> float:
        if pairs.binary:
            flips = max(pairs.discordance, difference)
            variance = flips - difference**2
        else:
            variance = spread
            flips = spread + difference**2
        if variance <= 0:
            return 1.0
        stretch = math.sqrt(flips / variance)  # the variance at zero over that at the difference
        shift = difference * math.sqrt(size / variance)
        return float(stats.nct.sf(critical * stretch, pairs.freedom, shift)) - POWER

    # The noncentral t is not computed far out; the power there is 1, and never asked for.
    grid = np.geomspace(1e-6, 1.0, 60)
    above = next((value for value in grid if excess(float(value)) >= 0), None)
    if above is None:
        return None
    below = float(grid[max(int(np.searchsorted(grid, above)) - 1, 0)])
    return float(optimize.brentq(excess, below, float(above), xtol=1e-7)) if excess(below) < 0 else below


@lru_cache(maxsize=4096)
def detectable(pairs: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """Return the smallest true paired difference that the score interval of independent pairs tells from zero.

    The share of pairs that flip is taken as observed, or as large as the difference itself requires, so the answer is
    not zero when nothing flipped. None where even a difference of 1 would not be found.

    Args:
        pairs: independent pairs.
        discordance: share of pairs whose outcome differs.
        power: how often it is found, in its own direction.
        alpha: one minus the confidence of the interval.
    """

    def excess(difference: float) -> float:
        return score_power(pairs, difference, max(discordance, difference), alpha) - power

    if pairs < FEWEST or excess(1.0) < 0:
        return None
    return float(optimize.brentq(excess, 1e-9, 1.0, xtol=1e-5))


def score_power(pairs: int, difference: float, discordance: float, alpha: float = ALPHA) -> float:
    """Return how often the score interval lies wholly above zero, exactly: over how many pairs flip and which way."""
    flips = np.arange(pairs + 1)
    share = (discordance + difference) / (2 * discordance)
    # (b − c) / sqrt(b + c) > z, with b of the flips upwards
    least = np.floor((flips + stats.norm.ppf(1 - alpha / 2) * np.sqrt(flips)) / 2 + 1e-9) + 1
    return float((stats.binom.pmf(flips, pairs, min(discordance, 1.0)) * stats.binom.sf(least - 1, flips, share)).sum())


def provable_margin(pairs: Pairs) -> float | None:
    """Return the smallest margin that a repeat would prove with 80% power, if nothing truly changed.

    Proving means that the one-sided 95% bound of the paired difference excludes a loss as large as the margin.
    """
    if pairs.clusters < 2 or pairs.few:
        return None
    if pairs.binary or not pairs.error:
        return provable(max(int(pairs.size), 1), round(pairs.discordance, 6))
    found = _by_t(pairs, quantile(1 - ALPHA, pairs.freedom))
    return None if found is None else pairs.scale * found


@lru_cache(maxsize=4096)
def provable(pairs: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """Return the smallest non-inferiority margin provable at this size, by the score test of the paired difference.

    Args:
        pairs: independent pairs (the effective number, where clustered).
        discordance: share of pairs that flip, as often one way as the other.
        power: how often it is proven.
        alpha: one minus the one-sided confidence.
    """
    if pairs * discordance > EXACT_FLIPS:
        quantiles = stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)
        return float(quantiles * math.sqrt(discordance / pairs))
    most = int(stats.binom.ppf(1 - 1e-9, pairs, discordance))
    up, flips = np.triu_indices(most + 1)
    down = flips - up  # every way in which at most that many flip
    rest = [discordance / 2, discordance / 2, 1 - discordance]
    chance = stats.multinomial.pmf(np.stack([up, down, pairs - up - down], -1), pairs, rest)
    needed = stats.norm.ppf(1 - alpha)

    def proven(margin: float) -> bool:
        return bool(chance[tango_statistic(up, down, pairs, -margin) >= needed].sum() >= power)

    low, high = 0.0, 1 - 1e-9
    if not proven(high):
        return None
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if proven(middle) else (middle, high)
    return high


def pairs_needed(discordance: float, margin: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return about how many independent pairs prove this margin: n = (z + z)² ψ / margin², and no fewer than for ψ = 0.

    Args:
        discordance: ψ, the share of pairs that flip.
        margin: the loss to be excluded.
        power: how often it is proven.
        alpha: one minus the one-sided confidence.
    """
    z, z_power = float(stats.norm.ppf(1 - alpha)), float(stats.norm.ppf(power))
    return math.ceil(max((z + z_power) ** 2 * discordance / margin**2, z**2 * (1 - margin) / margin))
