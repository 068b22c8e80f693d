"""From the rows of a preflight to a sealed prediction: terms, verdict, what dominates, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unswayed.audit.preflight import library, pools
from unswayed.audit.preflight.pools import Row, Rule
from unswayed.audit.theory import selection, sharpening
from unswayed.audit.theory.decomposition import Decomposition, Term, decompose_columns
from unswayed.audit.theory.outcome_log import Columns
from unswayed.audit.theory.replicator import multiplier, rounds_to
from unswayed.core.errors import DataError

PARTS = ("proposal", "selection", "filter")
NOTHING: list[Row] = []


def predict(
    rows: Sequence[Row],
    about: dict[str, Any],
    *,
    eps: float,
    known: Sequence[library.Known] = (),
    gradient: dict[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the prediction as plain JSON, without its seal.

    What moves weights is a difference between the labels and the whole policy, at temperature 1: on exact draws of
    its own a model's expected first update is zero, however it is decoded when it is judged. So drift is split into
    `decoder` (whole policy − as it is judged), which teaches nothing, and `proposal` (candidates − whole policy), and
    the label shift that predicts is proposal + selection + filter.

    Args:
        rows: of `collect`, set `train` first.
        about: of `collect`.
        eps: the change that matters, in rates.
        known: outcomes of earlier predictions.
        gradient: the second opinion, where there is one.
        seed: of bootstraps.

    Raises:
        DataError: no training prompt has all of its parts scored.
    """
    own = [row for row in rows if row["set"] == "train"]
    operator = about["operator"]
    rule = Rule(operator["k"], -1.0 if operator["name"] == "anti_oracle" else 1.0)
    judged = _decomposed(own, rule, "before", seed)
    # Candidates that are the model's own whole policy are compared with themselves: their proposal is nothing, exactly,
    # and two sets of draws would only differ by chance.
    whole_policy = "candidates" if operator["on_policy"] else "draws"
    whole = _decomposed(own, rule, whole_policy, seed)
    shift, se, interval = _shift(whole)
    family = str(about["behaviour"]["name"])
    found = library.forecast(family, shift, se, known)
    verdict = found.verdict(eps)
    parts = {"proposal": whole.terms["drift"], "selection": whole.terms["selection"], "filter": whole.terms["filter"]}
    levers = _levers(own, rule, whole_policy)
    best = min(levers, key=lambda name: abs(levers[name]), default="")
    prompts = len(whole.train.ids)
    return {
        "verdict": verdict,
        "eps": eps,
        "family": family,
        "terms": {name: judged.terms[name].row() for name in ("drift", "selection", "filter")},
        "decoder": None if judged.rates["before"] is None else _minus(whole.rates["before"], judged.rates["before"]),
        "parts": {name: term.row() for name, term in parts.items()},
        "label_shift": {"estimate": shift, "interval": list(interval), "se": se},
        "as_judged": judged.extra["label_shift"].row(),
        "change": {"expected": found.mean, "interval": list(found.interval), "one_run": list(found.predictive),
                   "p_rise": found.p_rise},
        "dominates": max(PARTS, key=lambda name: abs(parts[name].estimate or 0.0)),
        "levers": levers,
        "lever": best if best and abs(levers[best]) < abs(shift) - 1e-9 else None,
        "prompts": prompts,
        "needed": library.needed(family, shift, se, prompts, eps, known) if verdict == "UNDECIDED" else None,
        "left_out": dict(whole.train.left_out),
        "unscored": dict(judged.train.unscored),
        "selection": _selection(own, rule, seed),
        "sharpening": _sharpening(own, operator, seed),
        "rounds": _rounds(whole),
        "sources": _sources(own),
        "gradient": gradient,
        "known": len(known),
    }  # fmt: skip


def _decomposed(rows: Sequence[Row], rule: Rule, before: str, seed: int) -> Decomposition:
    columns: Columns = pools.training(rows, rule, before)
    if not columns.ids:
        raise DataError(
            "no training prompt has a scored reply before, a scored candidate and a scored label; "
            f"{', '.join(f'{count} x {why}' for why, count in columns.left_out.items())}"
        )
    return decompose_columns(columns, pools.evaluation(NOTHING), seed=seed)


def _shift(made: Decomposition) -> tuple[float, float, tuple[float, float]]:
    term: Term = made.extra["label_shift"]
    if term.estimate is None:
        raise DataError(f"the label shift is not known: {term.note}; there is nothing to train on")
    # With too few prompts for an interval anything is possible.
    low, high = term.interval or (term.estimate - 1, term.estimate + 1)
    return term.estimate, (high - low) / 3.92, (low, high)


def _levers(rows: Sequence[Row], rule: Rule, before: str) -> dict[str, float]:
    """Return the label shift under other settings of the labeller, from the same pool."""
    whole = _rates(rows, rule, before)
    found: dict[str, float] = {}
    if rule.k is not None and rule.k > 1:
        found["k = 1"] = _rates(rows, Rule(1, rule.sign), before)["label_shift"]
        if any(one["logprob"] is not None for row in rows for one in row["candidates"]):
            found["choose by log-probability"] = _rates(rows, Rule(rule.k, 1.0, "logprob"), before)["label_shift"]
    if any(one is None for row in rows for one in row["labels"]):
        found["no filter"] = _rates(rows, Rule(rule.k, rule.sign, filtered=False), before)["label_shift"]
    if abs(whole["proposal"]) > 1e-12:
        found["temperature = 1, whole distribution"] = whole["label_shift"] - whole["proposal"]
    return found


def _rates(rows: Sequence[Row], rule: Rule, before: str) -> dict[str, float]:
    values = pools.training(rows, rule, before).values
    kept = values["kept"].sum()
    label = float(values["label"].sum() / kept) if kept else float(values["chosen"].mean())
    start, candidates = float(values["before"].mean()), float(values["candidates"].mean())
    return {"label_shift": label - start, "proposal": candidates - start}


def _selection(rows: Sequence[Row], rule: Rule, seed: int) -> dict[str, Any] | None:
    found = pools.pools(rows, rule.sign)
    if rule.k is None or not any(len({s for s in pool.scores if s is not None}) > 0 for pool in found):
        return None
    points = selection.curve(found, seed=seed, replicates=1000)
    shape = None
    if any(sum(score is not None for score in pool.scores) > 1 for pool in found):
        shape = selection.eta(found, seed=seed)
    scores = [(s, m) for pool in found for s, m in zip(pool.scores, pool.outcomes, strict=True) if s is not None]
    s, m = np.array(scores).T
    slope = float(np.polyfit(s, m, 1)[0]) if len(set(s)) > 1 else 0.0
    return {
        "k": rule.k,
        "curve": [{"k": p.k, "selection": p.selection, "interval": p.interval, "bound": p.bound,
                   "effective_k": p.effective_k} for p in points],
        "eta": None if shape is None else {
            "binned": [None if math.isnan(x) else x for x in shape.binned], "isotonic": list(shape.isotonic),
            "direction": shape.direction, "oscillation": shape.oscillation, "interval": shape.interval,
            "tied": shape.tied, "p_value": shape.p_value},
        "pooled_slope": slope,
        "kl_at_most": math.log(rule.k) - (rule.k - 1) / rule.k,
    }  # fmt: skip


def _sharpening(rows: Sequence[Row], operator: dict[str, Any], seed: int) -> dict[str, Any] | None:
    """Return the distribution of rates, and the drift from the whole policy that the candidates' decoder would make."""
    counts = pools.counts(rows)
    if not counts:
        return None
    mixed = sharpening.mixing(counts)
    temperature = operator["temperature"]
    greedy = operator["name"] in {"self_training", "multi_view"} or temperature == 0
    phi = sharpening.greedy if greedy else sharpening.tempered(temperature or 1.0)
    value, low, high = sharpening.predicted_drift(counts, lambda p: p, phi, seed=seed, replicates=200)
    return {
        "mean": mixed.mean_of(lambda p: p),
        "above_half": mixed.above(0.5),
        "entrenched": mixed.above(0.9),
        "map": "greedy" if greedy else f"temperature {temperature or 1.0:g}",
        "drift": {"estimate": value, "interval": [low, high]},
    }


def _rounds(made: Decomposition) -> dict[str, Any] | None:
    """Return Λ of the labels against the whole policy, and rounds to 90% with a fixed operator."""
    before, labels = made.rates["before"], made.rates["labels"]
    lambda_ = None if before is None or labels is None else multiplier(before, labels)
    if before is None or lambda_ is None:
        return None
    return {"multiplier": lambda_, "rounds_to_90": rounds_to(before, lambda_)}


def _sources(rows: Sequence[Row]) -> dict[str, dict[str, float]] | None:
    """Return what each decoder contributes, where the pool mixes several."""
    usable = [
        row for row in rows if len(row["labels"]) and all(one["outcome"] is not None for one in row["candidates"])
    ]
    flat, chosen = [], []
    for row in usable:
        size = len(row["candidates"]) // len(row["labels"])
        for turn, place in enumerate(row["labels"]):
            if place is not None and size * len(row["labels"]) == len(row["candidates"]):
                pool = row["candidates"][turn * size : (turn + 1) * size]
                flat.append([(one["decoder"], one["outcome"]) for one in pool])
                chosen.append(place - turn * size)
    if len({source for pool in flat for source, _ in pool}) < 2:
        return None
    return selection.by_source(flat, chosen)


def _minus(one: float | None, other: float) -> float | None:
    return None if one is None else one - other
