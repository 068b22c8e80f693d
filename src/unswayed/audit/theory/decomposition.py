r"""The exact signed decomposition of what training on a model's own labels did to a rate.

    R₁(Dₑ) − R₀(Dₑ)  =  A drift + B selection + C filter + F fit + G generalisation

    A   mean over training prompts of  candidates − before
    B   mean of  chosen − candidates               (Price's covariance of being chosen with the behaviour)
    C   rate among kept labels − mean of chosen    (= Cov(kept, chosen) / mean kept)
    F   R₁(D_c) − rate among kept labels
    G   [R₁ − R₀](Dₑ) − [R₁ − R₀](D_c)

It telescopes, so it closes on every sample, whatever was drawn. Each prompt counts the same. R₁(D_c) is R₀(D_c) plus
the mean change of the prompts that were asked after training: where dropped prompts were not asked again, which
prompts those are moves neither F nor G. The derivation and every convention are in `docs/theory.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unswayed.audit.theory.judge_error import Errors, corrected, drawn
from unswayed.audit.theory.outcome_log import Columns, EvalRow, TrainRow, evaluation_columns, training_columns
from unswayed.stats.bootstrap import REPLICATES, bca, left_out, resampled
from unswayed.stats.clusters import Floats
from unswayed.stats.error_rates import ErrorRate
from unswayed.stats.paired import paired_difference

TERMS = ("drift", "selection", "filter", "fit", "generalisation", "total")
EXTRA = ("label_shift", "processing", "memorisation")
_RATES = {
    "before": "before", "candidates": "candidates", "chosen": "candidates", "labels": "candidates",
    "raw": "candidates", "candidates_of_raw": "candidates", "asked_before": "before", "asked_after": "after",
    "eval_before": "before", "eval_after": "after", "fresh_before": "before", "fresh_after": "after",
}  # fmt: skip
"""Every rate that terms are made of, and the arm whose judge error it carries."""
_NAMES = tuple(_RATES)


@dataclass(frozen=True, slots=True)
class Term:
    """One term, in rates; the estimate is None where it is not known. `note` says why, or how the interval was made."""

    estimate: float | None
    interval: tuple[float, float] | None
    note: str = ""

    def row(self) -> dict[str, object]:
        """Return the term as plain JSON."""
        row = {"estimate": self.estimate, "interval": None if self.interval is None else list(self.interval)}
        return {**row, **({"note": self.note} if self.note else {})}


@dataclass(frozen=True)
class Decomposition:
    """Every term with what it rests on.

    Attributes:
        terms: the five and their total. `extra`: A + B + C; the part of A that processing the candidates made, where
            it was logged; how much more training prompts moved than fresh ones of the same law, where there are any.
        rates: the rates that the terms are differences of.
        closure: total minus the sum of the five; rounding alone. None where a term is missing.
        train, evaluation: what the logs left.
        shared: prompts that are in both logs.
        notes: what a reader must know.
    """

    terms: Mapping[str, Term]
    extra: Mapping[str, Term]
    rates: Mapping[str, float | None]
    closure: float | None
    train: Columns
    evaluation: Columns
    shared: int
    replicates: int
    seed: int
    notes: tuple[str, ...] = field(default=())

    def row(self) -> dict[str, object]:
        """Return it as plain JSON, in rates."""
        sides = {"train": self.train, "evaluation": self.evaluation}
        return {
            "terms": {name: term.row() for name, term in self.terms.items()},
            "extra": {name: term.row() for name, term in self.extra.items()},
            "rates": dict(self.rates),
            "closure": self.closure,
            "prompts": {**{name: len(side.ids) for name, side in sides.items()}, "shared": self.shared},
            "left_out": {name: dict(side.left_out) for name, side in sides.items()},
            "unscored": {name: dict(side.unscored) for name, side in sides.items()},
            "interval": {
                "method": "BCa, prompts resampled", "level": 0.95, "replicates": self.replicates, "seed": self.seed,
            },
            "notes": list(self.notes),
        }  # fmt: skip


def decompose(
    training: Sequence[TrainRow],
    evaluation: Sequence[EvalRow],
    *,
    fresh: Sequence[EvalRow] = (),
    errors: Errors | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Decomposition:
    """Return the five terms of a log.

    Args:
        training: see `outcome_log`; several rows of one prompt are averaged.
        evaluation: prompts of the distribution that the claim is about.
        fresh: prompts of the training distribution that were not trained on, for the memorisation split.
        errors: of the judge, by arm; the terms are corrected for it and intervals carry its uncertainty.
        replicates: of the bootstrap over prompts; a prompt that is in several logs is drawn in all of them at once.
        seed: decides the bootstrap.
    """
    sides = training_columns(training), evaluation_columns(evaluation), evaluation_columns(fresh)
    frame = _Frame(*sides)
    known = dict(errors or {})
    point = _terms(_corrected(frame.rates(np.ones((1, frame.size))), known))
    boot: Mapping[str, Floats] = {}
    without: Mapping[str, Floats] = {}
    if frame.size:
        chances = drawn(known, replicates, seed)
        boot = _terms(_corrected(resampled(frame.rates, frame.strata, seed, replicates), known, chances))
        without = _terms(_corrected(left_out(frame.rates, frame.size), known))
    found = {
        name: _term(name, float(point[name][0]), boot, without, frame, exact=not known) for name in (*TERMS, *EXTRA)
    }
    terms = {name: found[name] for name in TERMS}
    parts = [terms[name].estimate for name in TERMS]
    total = parts.pop()
    known_parts = [part for part in parts if part is not None]
    closure = None if total is None or len(known_parts) < len(parts) else total - float(np.sum(known_parts))
    rates = dict(zip(_NAMES, _corrected(frame.rates(np.ones((1, frame.size))), known)[0], strict=True))
    shared = len(set(sides[0].ids) & set(sides[1].ids))
    return Decomposition(
        terms=terms,
        extra={name: found[name] for name in EXTRA if name == "label_shift" or found[name].estimate is not None},
        rates={name: _plain(rate) for name, rate in rates.items()},
        closure=closure,
        train=sides[0],
        evaluation=sides[1],
        shared=shared,
        replicates=replicates,
        seed=seed,
        notes=(*sides[0].notes, *_notes(sides[0], shared)),
    )


class _Frame:
    """The columns of all logs side by side, one line for each distinct prompt."""

    def __init__(self, train: Columns, evaluation: Columns, fresh: Columns) -> None:
        places = {id_: place for place, id_ in enumerate(dict.fromkeys((*train.ids, *evaluation.ids, *fresh.ids)))}
        self.size = len(places)
        self.train, self.evaluation, self.fresh = train.values, evaluation.values, fresh.values
        self.at = [np.array([places[id_] for id_ in side.ids], dtype=np.int64) for side in (train, evaluation, fresh)]
        member = np.zeros(self.size, dtype=np.int64)
        for bit, at in enumerate(self.at):
            member[at] += 1 << bit
        self.strata: NDArray[np.int64] = member

    def rates(self, weights: Floats) -> Floats:
        """Return the rates of `_RATES` under weights [replicates, prompts]; NaN where nothing carries one."""
        inside, outside, new = (weights[:, at] for at in self.at)
        train = self.train
        raw, asked = np.isfinite(train["raw"]), np.isfinite(train["after"])
        columns = [
            *(_mean(inside, train[name]) for name in ("before", "candidates", "chosen")),
            _ratio(inside @ train["label"], inside @ train["kept"]),
            _mean(inside[:, raw], train["raw"][raw]),
            _mean(inside[:, raw], train["candidates"][raw]),
            *(_mean(inside[:, asked], train[name][asked]) for name in ("before", "after")),
            *(_mean(outside, self.evaluation[name]) for name in ("before", "after")),
            *(_mean(new, self.fresh[name]) for name in ("before", "after")),
        ]
        return np.stack(columns, axis=1)


def _terms(rates: Floats) -> dict[str, Floats]:
    """Return every term from rates [replicates, rates]."""
    r = dict(zip(_NAMES, rates.T, strict=True))
    change = r["asked_after"] - r["asked_before"]
    total = r["eval_after"] - r["eval_before"]
    return {
        "drift": r["candidates"] - r["before"],
        "selection": r["chosen"] - r["candidates"],
        "filter": r["labels"] - r["chosen"],
        "fit": r["before"] + change - r["labels"],
        "generalisation": total - change,
        "total": total,
        "label_shift": r["labels"] - r["before"],
        "processing": r["candidates_of_raw"] - r["raw"],
        "memorisation": change - (r["fresh_after"] - r["fresh_before"]),
    }


_MISSING = {
    "drift": "no training prompt has scored outcomes before training, candidates and a scored label",
    "filter": "no label was kept",
    "fit": "no label was kept, or no training prompt was asked after training",
    "generalisation": "no training prompt, or no evaluation prompt, was asked before and after training",
    "total": "no evaluation prompt has scored outcomes before and after training",
}
_MISSING |= {"selection": _MISSING["drift"], "label_shift": _MISSING["filter"]}


def _term(
    name: str, value: float, boot: Mapping[str, Floats], without: Mapping[str, Floats], frame: _Frame, *, exact: bool
) -> Term:
    if not np.isfinite(value):
        return Term(None, None, _MISSING.get(name, "not logged"))
    if exact and _structural(name, frame):
        return Term(value, (value, value), "nothing was filtered" if name == "filter" else "one candidate a prompt")
    left = without[name]
    if not np.isfinite(left).any():
        return Term(value, None, "too few prompts for an interval")
    if _spread(left) < 1e-12:
        alike = None if _spread(boot[name]) >= 1e-12 else _all_alike(value, frame, name)
        return Term(
            value, alike, "every prompt alike: a score interval" if alike else "too few prompts for an interval"
        )
    limits = bca(value, boot[name], left, frame.strata)
    return Term(value, limits, "" if limits else "too few resamples have a value")


def _structural(name: str, frame: _Frame) -> bool:
    """Whether a term is zero by how the labels were made, not by what was drawn."""
    return (name == "filter" and bool((frame.train["kept"] == 1).all())) or (
        name == "selection" and bool((frame.train["single"] == 1).all())
    )


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.max() - known.min()) if len(known) else 0.0


def _all_alike(value: float, frame: _Frame, name: str) -> tuple[float, float] | None:
    """Return Tango's interval of that many equal prompts: resamples of equal values say nothing of others."""
    count = len(frame.at[1] if name in {"total", "generalisation"} else frame.at[0])
    if count < 2:
        return None
    found = paired_difference(np.full(count, float(np.clip(value, -2, 2))), [str(place) for place in range(count)])
    return None if found.low is None or found.high is None else (min(found.low, value), max(found.high, value))


def _corrected(
    rates: Floats, errors: Mapping[str, ErrorRate], draws: Mapping[str, tuple[Floats, Floats]] | None = None
) -> Floats:
    columns = []
    for name, column in zip(_NAMES, rates.T, strict=True):
        arm = _RATES[name]
        if draws and arm in draws:
            se, sp = draws[arm]
            columns.append((column + sp - 1) / (se + sp - 1))
        else:
            columns.append(corrected(column, errors[arm]) if arm in errors else column)
    return np.stack(columns, axis=1)


def _notes(train: Columns, shared: int) -> list[str]:
    asked = int(np.isfinite(train.values["after"]).sum())
    found = []
    if shared:
        found.append(
            f"{shared} evaluation prompts are training prompts too: what was memorised counts as generalisation there"
        )
    if 0 < asked < len(train.ids):
        found.append(
            f"{len(train.ids) - asked} training prompts were not asked after training; fit and generalisation take "
            "the mean change of the others"
        )
    return found


def _mean(weights: Floats, values: Floats) -> Floats:
    return _ratio(weights @ values, weights.sum(1))


def _ratio(above: Floats, below: Floats) -> Floats:
    quotient: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return quotient


def _plain(rate: float) -> float | None:
    return float(rate) if np.isfinite(rate) else None
