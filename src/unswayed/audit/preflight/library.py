r"""What earlier predictions came to, and what a label shift will therefore do: a hierarchical model over families.

    Δ = β L + α_f + noise,   α_f ~ N(0, τ²) for a family f,   noise ~ N(0, σ²)

Before there are outcomes the prior speaks alone: β ~ N(0.7, 0.25²), log σ ~ N(log 0.05, 0.7²), τ half-normal with
scale 0.01. So labels are expected to pull the rate their own way, by 0.2 to 1.2 of their shift, and a shift of
nothing to do nothing. Each outcome (L with its standard error, Δ) moves all four; a family that moves by itself shows
in its α. The posterior is a sum over a grid of β, σ, τ with α integrated exactly, so it is the same every time.

A verdict is about the expected change βL + α; one run's change adds the noise σ, and is given beside it
(`predictive`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import special, stats

from unswayed.core.errors import DataError
from unswayed.core.files import append_jsonl
from unswayed.core.tables import read_table
from unswayed.stats.clusters import Floats

Prediction = Literal["AMPLIFY", "SUPPRESS", "NEUTRAL", "UNDECIDED"]
BETA, SIGMA, TAU = (0.7, 0.25), (math.log(0.05), 0.7), 0.01
_TAUS = TAU * np.array([0.2, 0.6, 1.0, 1.5, 2.2, 3.0, 5.0, 10.0])
_AXES = np.linspace(-0.8, 2.2, 61), np.geomspace(0.008, 0.4, 15), _TAUS
_BETA, _SIGMA, _TAU = (axis.ravel() for axis in np.meshgrid(*_AXES, indexing="ij"))
_PRIOR = (
    stats.norm.logpdf(_BETA, *BETA)
    + stats.norm.logpdf(np.log(_SIGMA), *SIGMA)  # the grid of σ is even in log σ
    - 0.5 * (_TAU / TAU) ** 2
    + np.log(np.gradient(_TAUS))[np.tile(np.arange(len(_TAUS)), len(_BETA) // len(_TAUS))]
)
FIELDS = ("family", "label_shift", "label_shift_se", "change")


@dataclass(frozen=True, slots=True)
class Known:
    """One outcome: the family (behaviour), its label shift with standard error, and what training did."""

    family: str
    label_shift: float
    se: float
    change: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected change with its 95% interval, the interval of one run, and P(change > 0)."""

    mean: float
    interval: tuple[float, float]
    predictive: tuple[float, float]
    p_rise: float

    def verdict(self, eps: float) -> Prediction:
        """Return what the expected change does beyond `eps`, the change that matters."""
        low, high = self.interval
        if low > eps:
            return "AMPLIFY"
        if high < -eps:
            return "SUPPRESS"
        return "NEUTRAL" if -eps <= low and high <= eps else "UNDECIDED"


def read_library(path: Path) -> list[Known]:
    """Return the outcomes of a library file; none where there is no file yet.

    Raises:
        DataError: a row that is no outcome.
    """
    if not path.exists():
        return []
    rows = read_table(path)
    wrong = [f"{path}:{i}: needs {', '.join(FIELDS)}" for i, row in enumerate(rows, 1) if not set(FIELDS) <= set(row)]
    if wrong:
        raise DataError(f"{path}: rows that are no outcomes", wrong)
    return [Known(str(r["family"]), r["label_shift"], r["label_shift_se"], r["change"]) for r in rows]


def append(path: Path, row: dict[str, Any]) -> bool:
    """Add an outcome to a library; return False where the same prediction is in it already."""
    if path.exists() and any(one.get("prediction") == row["prediction"] for one in read_table(path)):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    append_jsonl(path, [row])
    return True


def forecast(family: str, shift: float, se: float, known: Sequence[Known] = ()) -> Forecast:
    """Return what a label shift will do in a family.

    Args:
        family: of the behaviour.
        shift: L, in rates, with its standard error `se`.
        known: earlier outcomes.
    """
    logs, alpha, spread = _PRIOR, np.zeros(_BETA.size), _TAU**2
    for name in dict.fromkeys(one.family for one in known):
        own = [one for one in known if one.family == name]
        fit, middle, variance = _family(own, _BETA, _SIGMA, _TAU)
        logs = logs + fit
        if name == family:
            alpha, spread = middle, variance
    weights = np.exp(logs - special.logsumexp(logs))
    centre = _BETA * shift + alpha
    width = np.sqrt(spread + (_BETA * se) ** 2)
    return Forecast(
        float(weights @ centre),
        _quantiles(weights, centre, width),
        _quantiles(weights, centre, np.hypot(width, _SIGMA)),
        float(weights @ stats.norm.sf(0, centre, np.hypot(width, _SIGMA))),
    )


def needed(family: str, shift: float, se: float, prompts: int, eps: float, known: Sequence[Known] = ()) -> int | None:
    """Return how many prompts would decide if the shift stays as it is; None where only more outcomes could."""
    for factor in (1.0, *np.geomspace(1.25, 200, 24)):
        if forecast(family, shift, se / math.sqrt(factor), known).verdict(eps) != "UNDECIDED":
            return math.ceil(prompts * float(factor))
    return None


def _family(own: Sequence[Known], beta: Floats, sigma: Floats, tau: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, at each grid point, the log-likelihood of a family's outcomes, and mean and variance of its α."""
    shift = np.array([one.label_shift for one in own])[:, None]
    noise = sigma**2 + (beta * np.array([one.se for one in own])[:, None]) ** 2
    rest = np.array([one.change for one in own])[:, None] - beta * shift
    precision = 1 / tau**2 + (1 / noise).sum(0)
    pull = (rest / noise).sum(0)
    log_likelihood = -0.5 * (
        np.log(2 * np.pi * noise).sum(0) + np.log(tau**2 * precision) + (rest**2 / noise).sum(0) - pull**2 / precision
    )
    return log_likelihood, pull / precision, 1 / precision


def _quantiles(weights: Floats, centre: Floats, width: Floats) -> tuple[float, float]:
    """Return the 2.5% and 97.5% points of a mixture of normals."""
    low, high = float((centre - 9 * width).min()), float((centre + 9 * width).max())
    found = []
    for share in (0.025, 0.975):
        a, b = low, high
        for _ in range(60):
            middle = (a + b) / 2
            below = float(weights @ stats.norm.cdf(middle, centre, width)) < share
            a, b = (middle, b) if below else (a, middle)
        found.append((a + b) / 2)
    return found[0], found[1]
