r"""Known errors of whatever gave the outcomes, carried through every term.

A judge with sensitivity Se and specificity Sp sees p = π·Se + (1 − π)(1 − Sp); π = (p + Sp − 1) / (Se + Sp − 1) (Rogan
and Gladen 1978). The map is affine, so it commutes with means over prompts: correcting the rates corrects the terms,
and the corrected terms still add up. A rate is not clipped here to [0, 1]: clipping one side would break the sum.

Se and Sp come from labelled replies. Each bootstrap replicate draws them anew from the Beta distribution that their
counts leave under Jeffreys' prior, so their uncertainty is in every interval. Before and after training the same judge
may err differently, so each arm has its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unswayed.core.errors import DataError
from unswayed.core.jsonl import kind, parse
from unswayed.core.seeding import rng
from unswayed.stats.clusters import Floats
from unswayed.stats.error_rates import ErrorRate

ARMS = ("before", "candidates", "after")
LEAST = 0.05
"""A judge whose Se + Sp − 1 is below this says next to nothing, and dividing by it says less."""
Errors = Mapping[str, ErrorRate]


def read_errors(path: Path) -> dict[str, ErrorRate]:
    """Return the error of each arm from a JSON object {arm: {sensitivity, positives, specificity, negatives}}.

    An arm that is not in it is read as it is.

    Raises:
        DataError: it cannot be read, or an arm or number is not one.
    """
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(found, dict) or not found or not set(found) <= set(ARMS):
        held = ", ".join(map(str, found)) if isinstance(found, dict) else kind(found)
        raise DataError(f"{path}: holds {held or 'nothing'}; the arms are {', '.join(ARMS)}")
    return {arm: _error(path, arm, value) for arm, value in found.items()}


def corrected(rate: Floats, error: ErrorRate) -> Floats:
    """Return rates without the known error; affine in the rate, not clipped."""
    return (rate + error.specificity - 1) / (error.sensitivity + error.specificity - 1)


def drawn(errors: Errors, replicates: int, seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Return for each arm `replicates` draws of (sensitivity, specificity)."""
    found = {}
    for arm, error in errors.items():
        generator = rng(seed, f"judge error:{arm}")
        hits = error.sensitivity * error.positives, error.specificity * error.negatives
        misses = error.positives - hits[0], error.negatives - hits[1]
        se, sp = (generator.beta(hit + 0.5, miss + 0.5, replicates) for hit, miss in zip(hits, misses, strict=True))
        found[arm] = (se, np.maximum(sp, 1 + LEAST - se))
    return found


def _error(path: Path, arm: str, value: object) -> ErrorRate:
    if not isinstance(value, dict) or set(value) != set(ErrorRate._fields):
        raise DataError(f"{path}: {arm}: needs {', '.join(ErrorRate._fields)}, and holds {json.dumps(value)[:80]}")
    numbers = [value[name] for name in ErrorRate._fields]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise DataError(f"{path}: {arm}: holds something that is no number")
    error = ErrorRate(*map(float, numbers))
    if not (0 <= error.sensitivity <= 1 and 0 <= error.specificity <= 1 and min(error.positives, error.negatives) > 0):
        raise DataError(f"{path}: {arm}: sensitivity and specificity are from 0 to 1, each from one label or more")
    if error.sensitivity + error.specificity - 1 < LEAST:
        raise DataError(
            f"{path}: {arm}: sensitivity + specificity − 1 is {error.sensitivity + error.specificity - 1:.2f}; such a "
            "judge says next to nothing, use another"
        )
    return error
