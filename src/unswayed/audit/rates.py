"""Rates of both arms, prompt by prompt, and their paired difference: the one way in which anything here is compared.

A prompt's rate is the mean over its draws that have a value. Prompts count alike, and prompts of one group are a
cluster (`unswayed.stats.paired`: with one draw a prompt that is Tango's score interval, McNemar's test at zero).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unswayed.audit.reply import Reply
from unswayed.stats.clusters import ALPHA, Floats
from unswayed.stats.decisions import Limits
from unswayed.stats.paired import Pairs, paired

Value = Callable[[Reply], float | None]
Sides = Mapping[tuple[str, str, str], Sequence[Reply]]
FILLED = ("least", "most", "zero", "one")


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates by prompt; not a number where no draw of it has a value.

    Attributes:
        before, after: [prompts]. `groups`: the cluster of each.
        low, high: [2, prompts], before and after: the rates with every missing value as 0, and as 1.
        alike: [prompts], one draw on either side, without a value and word for word the same.
    """

    before: Floats
    after: Floats
    groups: tuple[str, ...]
    low: Floats
    high: Floats
    alike: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        """Which prompts have a rate in both arms."""
        return np.asarray(np.isfinite(self.before) & np.isfinite(self.after))

    @property
    def missing(self) -> bool:
        """Whether any draw has no value."""
        return bool((self.low != self.high).any())

    def pairs(self) -> Pairs | None:
        """Return the paired differences of what is scored; None where nothing is."""
        keep = self.scored
        return _paired((self.after - self.before)[keep], [g for g, k in zip(self.groups, keep, strict=True) if k])

    def filled(self) -> dict[str, Pairs]:
        """Return the paired differences of all prompts with what is missing counted in each way; {} if nothing is.

        `least` and `most` are as low and as high as the difference can be; `zero` and `one` count what is missing as
        the same on both sides.
        """
        if not self.missing:
            return {}
        (first_low, second_low), (first_high, second_high) = self.low, self.high
        ways = {
            "least": second_low - first_high, "most": second_high - first_low,
            "zero": second_low - first_low, "one": second_high - first_high,
        }  # fmt: skip
        found = {name: _paired(np.where(self.alike, 0.0, way), self.groups) for name, way in ways.items()}
        return {name: one for name, one in found.items() if one is not None}


def _paired(differences: Floats, groups: Sequence[str]) -> Pairs | None:
    return paired(differences, groups) if len(differences) else None


def rates(before: Sides, after: Sides, value: Value) -> Rates:
    """Return the rates of both arms over the same prompts."""
    keys = list(before)
    found = [{key: [value(reply) for reply in side[key]] for key in keys} for side in (before, after)]
    first, second = [[_rate(side[key]) for key in keys] for side in found]
    alike = [found[0][key] == found[1][key] == [None] and before[key][0].text == after[key][0].text for key in keys]
    mean, low, high = (np.array([[rate[n] for rate in side] for side in (first, second)]) for n in range(3))
    groups = tuple(before[key][0].group or key[1] for key in keys)
    return Rates(mean[0], mean[1], groups, low, high, np.array(alike, dtype=bool))


def _rate(values: Sequence[float | None]) -> tuple[float, float, float]:
    """Return the mean of what is known, and with what is missing as 0, and as 1."""
    known = [one for one in values if one is not None]
    total, missing, n = sum(known), len(values) - len(known), len(values)
    return (total / len(known) if known else float("nan"), total / n, (total + missing) / n)


def limits(pairs: Pairs | None, alpha: float = ALPHA) -> Limits | None:
    """Return the interval of the mean difference, no wider than differences can be; None where there is none."""
    found = None if pairs is None else pairs.interval(alpha)
    return None if found is None else (max(found[0], -1.0), min(found[1], 1.0))
