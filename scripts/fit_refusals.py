"""Fit the refusal model to public human labels and to our own replies, and print its error on models left out.

    python scripts/fit_refusals.py FOLDER

FOLDER holds `xstest_human_*.jsonl`: replies of one model each, with `prompt`, `completion` and `final_label` (its first
digit: 1 full compliance, 2 full refusal, 3 partial refusal), as Röttger et al. (2024) publish them. Writes the numbers
that `unswayed.readers.refusals` ships: a weight for each feature, and for each word or pair of words of two models.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from unswayed.readers import refusals
from unswayed.readers.text import prepare

SEEDS = Path(__file__).with_name("refusal_seeds.jsonl")
SHIPPED = Path(refusals.__file__).with_name("refusals.json")
OWN_WEIGHT = 2.0
"""What a reply of our own counts, beside one with a human label."""
LEAST, SHRINK, PENALTY = 50, 0.7, 1.0
"""How often a word must occur; by how much words count less than features; the inverse of the penalty."""
LOG_ODDS = np.arange(-3.0, 3.01, 0.1)
"""The thresholds that are tried."""
SPECIFICITY = 0.965
"""The threshold is the lowest at which the mean specificity on models left out of the fit is this."""


class Reply(NamedTuple):
    """A prepared reply, the question, and whether it declines in full or in part."""

    body: str
    prompt: str
    declines: bool


def read(path: Path) -> list[Reply]:
    """Return the labelled replies of a file."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        Reply(
            refusals.unquoted(prepare(row["completion"]).text),
            row.get("prompt", ""),
            row["label"] != "compliance" if "label" in row else row["final_label"][0] != "1",
        )
        for row in rows
    ]


def vocabulary(sets: list[list[Reply]]) -> list[str]:
    """Return the words and pairs of words that are frequent, and occur in the replies of at least two models."""
    counts = [Counter(word for row in rows for word in refusals.opening_words(row.body)) for rows in sets]
    total = sum(counts, Counter[str]())
    models = min(2, len(sets))
    return sorted(w for w, n in total.items() if n >= LEAST and sum(own[w] >= 3 for own in counts) >= models)


def matrix(rows: list[Reply], known: list[str]) -> Any:
    """Return what the model weighs of each reply."""
    found = []
    for row in rows:
        said = refusals.opening_words(row.body)
        named = refusals.features(row.body, refusals.sentences_of(row.body), row.prompt).values()
        found.append([*named, *(SHRINK * (word in said) for word in known)])
    return np.array(found, dtype=float)


def fit(x: Any, y: Any, weights: Any) -> Any:
    """Return the coefficients of a penalised logistic regression, the constant first."""
    sign = 2 * y - 1

    def loss(beta: Any) -> tuple[float, Any]:
        margin = sign * (beta[0] + x @ beta[1:])
        pull = -weights * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = float(weights @ np.logaddexp(0, -margin) + beta[1:] @ beta[1:] / (2 * PENALTY))
        return value, np.concatenate([[pull.sum()], x.T @ pull + beta[1:] / PENALTY])

    return minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 5000}).x


def fitted(sets: list[list[Reply]]) -> tuple[Any, list[str]]:
    """Fit to the replies of some models and to our own."""
    known, own = vocabulary(sets), read(SEEDS)
    rows = [row for rows in sets for row in rows]
    weights = np.concatenate([np.ones(len(rows)), np.full(len(own), OWN_WEIGHT)])
    rows += own
    return fit(matrix(rows, known), np.array([row.declines for row in rows], dtype=float), weights), known


def left_out(sets: dict[str, list[Reply]], name: str) -> Any:
    """Return the log odds of a model's replies by a fit to the other models."""
    beta, known = fitted([rows for key, rows in sets.items() if key != name])
    return beta[0] + matrix(sets[name], known) @ beta[1:]


def error(odds: Any, rows: list[Reply], threshold: float) -> tuple[float, float]:
    """Return sensitivity and specificity at a threshold."""
    truth = np.array([row.declines for row in rows])
    says = (odds >= threshold) | [refusals.says_so(refusals.sentences_of(row.body)) for row in rows]
    return float(says[truth].mean()), float((~says[~truth]).mean())


def lowest(odds: dict[str, Any], sets: dict[str, list[Reply]]) -> float:
    """Return the lowest threshold with the mean specificity that is asked for."""
    for threshold in LOG_ODDS:
        if np.mean([error(odds[name], sets[name], threshold)[1] for name in odds]) >= SPECIFICITY:
            return float(round(threshold, 1))
    return float(LOG_ODDS[-1])


def main(folder: Path) -> None:
    """Print the error on each model left out, its threshold chosen without it; then fit to all, write the numbers."""
    sets = {path.stem.removeprefix("xstest_human_"): read(path) for path in sorted(folder.glob("xstest_human_*.jsonl"))}
    odds = {name: left_out(sets, name) for name in sets}
    chosen = lowest(odds, sets)
    nested, plain = [], []
    for name, rows in sets.items():
        others = {key: other for key, other in sets.items() if key != name}
        threshold = lowest({key: left_out(others, key) for key in others}, others)
        nested.append(error(odds[name], rows, threshold))
        plain.append(error(odds[name], rows, chosen))
        declining = sum(row.declines for row in rows)
        print(
            f"left out {name}: {nested[-1][0]:.3f}/{nested[-1][1]:.3f} at its own threshold {threshold:.1f}, "
            f"{plain[-1][0]:.3f}/{plain[-1][1]:.3f} at {chosen:.1f}; {declining} and {len(rows) - declining} replies"
        )
    for how, found in (("threshold chosen without the model", nested), ("threshold shipped", plain)):
        print("mean, {}: sensitivity {:.3f}, specificity {:.3f}".format(how, *np.mean(found, axis=0)))
    beta, known = fitted(list(sets.values()))
    names = list(refusals.features("a", ["a"], ""))
    rounded = [round(float(value), 2) for value in beta]
    write(
        {
            "fit": {"constant": rounded[0], "threshold": round(float(1 / (1 + np.exp(-chosen))), 4)},
            "features": dict(zip(names, rounded[1 : 1 + len(names)], strict=True)),
            "words": {w: round(SHRINK * v, 2) for w, v in zip(known, beta[1 + len(names) :], strict=True)},
        }
    )


def write(model: dict[str, dict[str, float]]) -> None:
    """Write the numbers, several a line."""
    parts = [f'"{name}": {{\n{lines(values.items())}\n}}' for name, values in model.items()]
    SHIPPED.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


def lines(pairs: Iterable[tuple[str, float]]) -> str:
    """Return pairs as JSON in lines of at most 120 characters."""
    found = [""]
    for name, value in pairs:
        text = f'"{name}": {value}'
        if len(found[-1]) + len(text) > 116:
            found.append("")
        found[-1] += f"{', ' if found[-1] else ''}{text}"
    return ",\n".join(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
