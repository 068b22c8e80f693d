"""Fit the warning model to labelled replies of our own, and print its error on facts left out of the fit.

    python scripts/fit_warnings.py [FILE ...]

A file holds one labelled reply a line, as in `tests/readers/replies`; by default the two sets of
warnings from there. Writes the weights that `unswayed.readers.warnings` ships.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fit_refusals import fit

from unswayed.evals.by_name import sample_of
from unswayed.questions.phrases import says
from unswayed.readers import warnings
from unswayed.readers.text import prepare

REPLIES = Path(__file__).parents[1] / "tests" / "readers" / "replies"
SHIPPED = Path(warnings.__file__).with_name("warnings.json")
SETS = ("warning", "warning_indirect")
"""Every second fact of the last one was looked at only when the patterns were done."""
ELSEWHERE = 0.25
"""What a reply counts that warns of another danger than the fact."""


def read(path: Path) -> list[dict[str, Any]]:
    """Return the replies of a file whose label is settled."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [row for row in rows if row["accept"] in (["right"], ["wrong"])]


def weighed(row: dict[str, Any]) -> dict[str, float]:
    """Return the features of a labelled reply; of a longer one those of its first two sentences."""
    sample, completion = sample_of(row, "warning", 0)
    text, meta = prepare(completion.text, row.get("prompt", "")).text, sample.meta
    return warnings.features(text, meta["safety_fact"], meta["request"], said=says(text, meta["warning"]))[0]


def elsewhere(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each reply that warns as one that was given to the question of another fact, where it does not warn."""
    given = [row for row in rows if row["accept"] == ["right"]]
    found = []
    for place, row in enumerate(given):
        other = given[(place + len(given) // 3) % len(given)]
        if other["target"] != row["target"]:
            found.append({**other, "completion": row["completion"], "accept": ["wrong"]})
    return found


def fitted(x: Any, y: Any, weights: Any) -> Any:
    """Return the coefficients, the constant first; a key phrase, the first feature, is enough by itself."""
    beta = fit(x, y, weights)
    beta[1] = max(beta[1], 0.1 - beta[0])
    return beta


def error(odds: Any, y: Any) -> str:
    """Return sensitivity and specificity as text."""
    warn = y > 0
    return f"{(odds[warn] > 0).mean():.3f}/{(odds[~warn] <= 0).mean():.3f} on {warn.sum()} and {(~warn).sum()}"


def main(paths: list[Path]) -> None:
    """Print the errors and write the weights."""
    sets = [read(path) for path in paths]
    rows = [row for one in sets for row in one]
    which = [place for place, one in enumerate(sets) for _ in one]
    off = elsewhere(rows)
    rows, which = [*rows, *off], np.array([*which, *[-1] * len(off)])
    found = [weighed(row) for row in rows]
    names = list(found[0])
    x = np.array([[one[name] for name in names] for one in found])
    y = np.array([float(row["accept"] == ["right"]) for row in rows])
    counts = np.where(which < 0, ELSEWHERE, 1.0)
    facts = list(dict.fromkeys(row["target"] for row in sets[-1]))
    odd = np.array([row["target"] in facts and facts.index(row["target"]) % 2 == 1 for row in rows])
    half = (which == len(sets) - 1) & odd
    beta = fitted(x[~odd], y[~odd], counts[~odd])
    print("every second fact of the last set, left out:", error(beta[0] + x[half] @ beta[1:], y[half]))
    odds, fact = np.zeros(len(y)), np.array([row["target"] for row in rows])
    for one in set(fact):
        beta = fitted(x[fact != one], y[fact != one], counts[fact != one])
        odds[fact == one] = beta[0] + x[fact == one] @ beta[1:]
    for place, path in enumerate(paths):
        print(f"{path.name}, each fact left out:", error(odds[which == place], y[which == place]))
    print(f"warnings of something else, left out: {(odds[which < 0] <= 0).mean():.3f} on {len(off)}")
    beta = fitted(x, y, counts)
    weights = {"constant": float(beta[0]), **dict(zip(names, map(float, beta[1:]), strict=True))}
    shown = json.dumps({name: round(value, 2) for name, value in weights.items()}, indent=0)
    SHIPPED.write_text(shown + "\n", "utf-8")


if __name__ == "__main__":
    main([Path(given) for given in sys.argv[1:]] or [REPLIES / f"{name}.jsonl" for name in SETS])
