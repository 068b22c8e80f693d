"""How small a change a design can find, and how small a margin it can prove.

A difference that did not show is read beside the smallest one that would have (`detectable`), and a regression that
could not be ruled out beside the smallest margin that could have been proven (`provable_margin`). Both speak of a
repeat with as many pairs, of which as many flip; they are fractions of 1 like the rates themselves.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.power import TTestPower

from unswayed.stats.intervals import ALPHA, POWER, Pairs, tango_statistic

EXACT_FLIPS = 60
"""With fewer expected flips power is summed over every outcome; with more the normal approximation is as good."""


def detectable_difference(pairs: Pairs) -> float | None:
    """Return the smallest true difference found with 80% power by a repeat of this design with this spread."""
    if pairs.clusters < 2:
        return None
    if pairs.binary:
        return detectable(int(pairs.size), round(pairs.discordance, 6))
    if not pairs.error:
        return detectable(pairs.clusters, 0.0)
    return _found_by_t(pairs.error, pairs.clusters)


def _found_by_t(error: float, clusters: int, *, one_sided: bool = False) -> float:
    kind = "larger" if one_sided else "two-sided"
    effect = TTestPower().solve_power(nobs=clusters, power=POWER, alpha=ALPHA, alternative=kind)
    return float(effect * math.sqrt(clusters) * error)


@lru_cache(maxsize=4096)
def detectable(pairs: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """Return the smallest true paired difference that the exact McNemar test finds with this power.

    The share of pairs that flip is taken as observed, or as large as the difference itself requires, so the answer is
    not zero when nothing flipped. None where even a difference of 1 would not be found (fewer than six pairs).

    Args:
        pairs: independent pairs (the effective number, where clustered).
        discordance: share of pairs whose outcome differs.
    """

    def excess(difference: float) -> float:
        return mcnemar_power(pairs, difference, max(discordance, difference), alpha) - power

    if pairs < 1 or excess(1.0) < 0:
        return None
    return float(optimize.brentq(excess, 1e-9, 1.0, xtol=1e-5))


def mcnemar_power(pairs: int, difference: float, discordance: float, alpha: float = ALPHA) -> float:
    """Return the exact power of the two-sided exact McNemar test, over how many pairs flip and in which direction."""
    flips = np.arange(pairs + 1)
    share = (discordance + difference) / (2 * discordance)
    critical = stats.binom.ppf(alpha / 2, flips, 0.5)  # largest count whose tail may still be within alpha / 2 …
    critical = np.where(stats.binom.cdf(critical, flips, 0.5) > alpha / 2, critical - 1, critical)  # … is one less
    rejected = stats.binom.cdf(critical, flips, share) + stats.binom.sf(flips - critical - 1, flips, share)
    return float((stats.binom.pmf(flips, pairs, min(discordance, 1.0)) * rejected).sum())


def provable_margin(pairs: Pairs) -> float | None:
    """Return the smallest margin that a repeat would prove with 80% power, if nothing truly changed.

    Proving means that the one-sided 95% bound of the paired difference excludes a loss as large as the margin.
    """
    if pairs.clusters < 2:
        return None
    if pairs.binary:
        return provable(max(int(pairs.size), 1), round(pairs.discordance, 6))
    if not pairs.error:
        return provable(pairs.clusters, 0.0)
    return _found_by_t(pairs.error, pairs.clusters, one_sided=True)


@lru_cache(maxsize=4096)
def provable(pairs: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """Return the smallest non-inferiority margin provable at this size, by the score test of the paired difference.

    Args:
        pairs: independent pairs (the effective number, where clustered).
        discordance: share of pairs that flip, as often one way as the other.
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
    """
    z, z_power = float(stats.norm.ppf(1 - alpha)), float(stats.norm.ppf(power))
    return math.ceil(max((z + z_power) ** 2 * discordance / margin**2, z**2 * (1 - margin) / margin))
