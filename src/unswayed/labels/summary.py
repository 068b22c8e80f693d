"""What a labelling did, in numbers: what was kept and why not, ties, length, and which decoder won."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from unswayed.config.labels import AntiOracleConfig, Labeller, Pool
from unswayed.labels.estimators import effective_k, mean_pressure


def summarise(rows: Sequence[dict[str, Any]], config: Labeller) -> dict[str, Any]:
    """Return the summary of finished records, one for each pair.

    `tied` is the share of labels that a tie decided. For labellers with a pool of independent draws, `effective_k` is
    the mean number of distinct scores in a pool, and `length_pressure` what choosing adds to the number of tokens.
    """
    candidates = [candidate for row in rows for candidate in row["candidates"]]
    labels = [row["candidates"][row["chosen"]] for row in rows if row["chosen"] is not None]
    kept = [row for row in rows if row["chosen"] is not None]
    summary: dict[str, Any] = {
        "labeller": config.name,
        "pairs": len(rows),
        "labels": len(labels),
        "dropped": dict(Counter(row["dropped"] for row in rows if row["chosen"] is None)),
        "candidates": len(candidates),
        "candidates_blank": sum(not candidate["text"].strip() for candidate in candidates),
        "candidates_truncated": sum(candidate["finish"] == "length" for candidate in candidates),
        "labels_truncated": sum(label["finish"] == "length" for label in labels),
        "unscored": dict(Counter(candidate["reason"] for candidate in candidates if candidate["reason"])),
        "chosen_from": dict(Counter(label["decoder"] for label in labels)),
        "chosen_tokens": _mean([len(label["ids"]) for label in labels]),
        "candidate_tokens": _mean([len(candidate["ids"]) for candidate in candidates]),
        "tied": _mean([float(len(row["ties"]) > 1) for row in kept]),
    }
    if isinstance(config, Pool):
        sign = -1 if isinstance(config, AntiOracleConfig) else 1
        pools = [
            (
                [None if c["score"] is None else sign * c["score"] for c in row["candidates"]],
                [float(len(c["ids"])) for c in row["candidates"]],
            )
            for row in rows
            if row["candidates"]
        ]
        pressure = mean_pressure(pools, config.k)
        summary["effective_k"] = _mean([effective_k(scores, config.k) for scores, _ in pools])
        summary["length_pressure"] = {"tokens": pressure.mean, "standard_error": pressure.standard_error}
    return summary


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
