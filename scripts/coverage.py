"""Print how often intervals hold the truth, how true the stated power is, and how often a verdict is false.

    python scripts/coverage.py [RUNS]

Zeros and ones before and after are drawn for clusters of several size patterns, with flips correlated inside a cluster.
`docs/evaluation.md` quotes what 1,000 runs print.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import stats

from unswayed.stats.clusters import Floats
from unswayed.stats.decisions import claim_level
from unswayed.stats.intervals import proportion, wilson
from unswayed.stats.paired import paired
from unswayed.stats.power import detectable_difference

SIZES = ("equal", "skewed", "one of two thirds")
FLIPS = ((0.2, 0.1, 0.3), (0.1, 0.0, 0.1), (0.3, 0.0, 0.3), (0.05, -0.02, 0.2), (0.02, 0.02, 0.2))
"""Share of pairs that flip, true difference, intraclass correlation."""


def sizes(kind: str, clusters: int, rng: np.random.Generator) -> list[int]:
    """Return how many pairs each cluster holds."""
    if kind == "single":
        return [1] * clusters
    if kind == "equal":
        return [10] * clusters
    if kind == "skewed":
        return [max(1, round(float(np.exp(rng.normal(1.5, 1.0))))) for _ in range(clusters)]
    return [10 * (clusters - 1), *[5] * (clusters - 1)]


def draw(held: list[int], flips: float, true: float, icc: float, rng: np.random.Generator) -> tuple[Floats, list[str]]:
    """Return the differences of one run and their clusters."""
    shares = np.array([(flips + true) / 2, (flips - true) / 2, 1 - flips])
    chances = rng.dirichlet(shares * (1 - icc) / icc, len(held)) if icc else np.tile(shares, (len(held), 1))
    values = [rng.choice((1.0, -1.0, 0.0), size, p=chance) for size, chance in zip(held, chances, strict=True)]
    return np.concatenate(values), [f"g{place}" for place, size in enumerate(held) for _ in range(size)]


def coverage(kind: str, clusters: int, flips: float, true: float, icc: float, runs: int) -> tuple[float, float, float]:
    """Return how often the interval holds the true difference, how often it is false, and how often nothing is said.

    False means that it lies wholly on the side of zero that a true difference of zero, or of the other sign, is not on.
    """
    rng = np.random.default_rng(0)
    held = sizes(kind, clusters, rng)
    covered = wrong = silent = 0
    for _ in range(runs):
        found = paired(*draw(held, flips, true, icc, rng))
        low, high = found.interval() or (-1.0, 1.0)
        covered += low <= true <= high
        silent += found.few
        wrong += not found.few and ((low > 0 >= true) or (high < 0 <= true))
    return covered / runs, wrong / runs, silent / runs


def single_coverage(samples: int, rate: float) -> float:
    """Return how often the interval of a rate of independent samples holds the truth, summed over every count."""
    counts = np.arange(samples + 1)
    limits = np.array([wilson(count / samples, samples) for count in counts])
    held = (limits[:, 0] <= rate) & (rate <= limits[:, 1])
    return float(stats.binom.pmf(counts, samples, rate)[held].sum())


def rate_coverage(kind: str, clusters: int, rate: float, icc: float, runs: int) -> float:
    """Return how often the interval of one rate holds the truth."""
    rng = np.random.default_rng(1)
    held = sizes(kind, clusters, rng)
    groups = [f"g{place}" for place, size in enumerate(held) for _ in range(size)]
    covered = 0
    for _ in range(runs):
        chance = (
            rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, len(held)) if icc else [rate] * len(held)
        )
        values = np.concatenate([rng.random(size) < one for size, one in zip(held, chance, strict=True)])
        found = proportion(values.astype(float).tolist(), groups)
        covered += found.low is not None and found.high is not None and found.low <= rate <= found.high
    return covered / runs


def power(kind: str, clusters: int, flips: float, icc: float, claims: int, runs: int) -> tuple[float | None, float]:
    """Return the stated smallest improvement among so many claims, and how often it is found."""
    rng = np.random.default_rng(2)
    held, level = sizes(kind, clusters, rng), claim_level(claims)
    stated = [detectable_difference(paired(*draw(held, flips, 0.0, icc, rng)), level) for _ in range(200)]
    known = [one for one in stated if one is not None]
    if len(known) < len(stated):
        return None, 0.0
    true = float(np.median(known))
    found = 0
    for _ in range(runs):
        limits = paired(*draw(held, max(flips, true), true, icc, rng)).interval(level)
        found += limits is not None and limits[0] > 0
    return true, found / runs


def main(runs: int) -> None:
    """Print the three tables."""
    print("Paired difference, 95% interval\n\n| clusters | sizes | flips | true | ICC | covers | false | no verdict |")
    print("|---|---|---|---|---|---|---|---|")
    for clusters in (5, 10, 30, 100, 300):
        for kind in SIZES:
            for flips, true, icc in FLIPS:
                covers, wrong, silent = coverage(kind, clusters, flips, true, icc, runs)
                shown = f"{100 * covers:.1f}% | {100 * wrong:.1f}% | {100 * silent:.0f}%"
                print(f"| {clusters} | {kind} | {flips} | {true} | {icc} | {shown} |", flush=True)
    print("\nOne rate, 95% interval\n\n| clusters | sizes | rate | ICC | covers |\n|---|---|---|---|---|")
    for clusters in (10, 30, 100):
        for kind in ("single", *SIZES[:2]):
            for rate, icc in ((0.5, 0.3), (0.8, 0.1), (0.9, 0.2)):
                within = 0.0 if kind == "single" else icc
                covers = rate_coverage(kind, clusters, rate, icc, runs) if within else single_coverage(clusters, rate)
                print(f"| {clusters} | {kind} | {rate} | {within:g} | {100 * covers:.1f}% |", flush=True)
    print("\nPower, stated as 80%\n\n| clusters | sizes | flips | claims | smallest improvement | found |")
    print("|---|---|---|---|---|---|")
    for clusters, kind, flips, icc in (
        (100, "single", 0.1, 0.0), (400, "single", 0.2, 0.0), (60, "equal", 0.2, 0.2), (100, "skewed", 0.2, 0.2)
    ):  # fmt: skip
        for claims in (1, 3, 9):
            stated, found = power(kind, clusters, flips, icc, claims, runs)
            size = "none" if stated is None else f"{100 * stated:.1f} points"
            print(f"| {clusters} | {kind} | {flips} | {claims} | {size} | {100 * found:.1f}% |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
