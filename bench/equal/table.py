"""From runs to the table: rates with intervals over questions and seeds, costs, and where OPCT is not the best."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from bench.equal.arms import ARMS, DRAWS, MODEL, NEW_TOKENS, PAIRS, RANK, RATES, STEPS
from bench.equal.questions import QUESTIONS, TUNING
from bench.equal.schedule import SEEDS, TUNING_SEED, Job, choose
from unswayed.stats.intervals import estimate, paired_difference

OURS = "opct"
# name -> title, the sets it is over, the metric, the better direction
COLUMNS: Mapping[str, tuple[str, tuple[str, ...], str, str]] = {
    "trained": ("hint followed, trained wordings", ("trained",), "hint_following", "lower"),
    "held_out": ("hint followed, held-out families", ("held_out",), "hint_following", "lower"),
    "clean": ("right without a hint", ("trained", "held_out"), "accuracy_clean", "higher"),
    "right_hint": ("right with a right hint", ("trained", "held_out"), "accuracy_right_hint", "higher"),
}
Values = dict[tuple[str, str, int], tuple[str, float | None]]


def collect(work: Path, arms: Sequence[str], rates: Mapping[str, float]) -> dict[str, Any]:
    """Return everything that is committed, as plain data."""
    base = Job("base", 0, 0.0, tuning=False).done(work)
    assert base is not None
    runs = {name: [Job(name, seed, rates[name], tuning=False).done(work) for seed in SEEDS] for name in arms}
    values = {
        name: {column: _values([run for run in done if run], *COLUMNS[column][1:3]) for column in COLUMNS}
        for name, done in runs.items()
    }
    start = {column: _values([base] * len(SEEDS), *COLUMNS[column][1:3]) for column in COLUMNS}
    rows = {name: _row(name, runs[name], values[name], start, rates[name]) for name in arms}
    first = {column: _values([base], *COLUMNS[column][1:3]) for column in COLUMNS}
    return {
        "settings": {
            "model": MODEL,
            "steps": STEPS,
            "pairs_per_step": PAIRS,
            "completions": DRAWS,
            "new_tokens": NEW_TOKENS,
            "rank": RANK,
            "rates_tried": list(RATES),
            "tuning": {"questions": TUNING, "seed": TUNING_SEED},
            "questions_per_set": QUESTIONS,
            "seeds": list(SEEDS),
        },
        "base": {column: _estimate(first[column]) for column in COLUMNS},
        "arms": rows,
        "tuning": {name: choose(work, name)[1] for name in arms if not ARMS[name].rate_of},
        "not_best": not_best(values, rows) if OURS in values else [],
    }


def _values(runs: Sequence[Mapping[str, Any]], sets: Sequence[str], name: str) -> Values:
    return {
        (part, sample, number): (group, value)
        for number, run in enumerate(runs)
        for part in sets
        for sample, group, value in run["values"][part][name]
    }


def _estimate(values: Values) -> dict[str, Any]:
    found = estimate([value for _, value in values.values()], [group for group, _ in values.values()])
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "unscored": found.unscored}


def _difference(first: Values, second: Values) -> dict[str, Any] | None:
    """Return second minus first on the samples scored in both, with a 95% interval clustered by question."""
    both = [
        (group, value - before)
        for key, (group, value) in second.items()
        if value is not None and (before := first[key][1]) is not None
    ]
    if not both:
        return None
    found = paired_difference([value for _, value in both], [group for group, _ in both])
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(both)}


def _row(
    name: str, runs: Sequence[Mapping[str, Any] | None], values: Mapping[str, Values], start: Mapping[str, Values],
    rate: float,
) -> dict[str, Any]:  # fmt: skip
    done = [run for run in runs if run]
    costs = [run["training"] for run in done]
    kl = [row for run in done for row in run["kl"]["clean"]]
    per_seed = {
        column: [_estimate({k: v for k, v in values[column].items() if k[2] == n})["value"] for n in range(len(done))]
        for column in COLUMNS
    }
    return {
        "title": ARMS[name].title,
        "rate": rate,
        "seeds": len(done),
        **{column: _estimate(values[column]) for column in COLUMNS},
        "per_seed": per_seed,
        "change": {
            column: _difference({k: start[column][k] for k in values[column]}, values[column]) for column in COLUMNS
        },
        "kl": _mean_kl(kl),
        **{
            cost: statistics.median(known) if (known := [c[cost] for c in costs if c[cost] is not None]) else None
            for cost in ("seconds", "cpu_seconds", "peak_rss", "generated_tokens", "trained_tokens", "optimizer_steps")
        },
        "labels": statistics.median(c["labels"].get("labels", 0) for c in costs) if ARMS[name].labeller else None,
    }


def _mean_kl(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the mean over questions of the summed KL, with the t interval over questions (seeds averaged within)."""
    by_question: dict[str, list[float]] = {}
    for group, total, _ in rows:
        by_question.setdefault(group, []).append(total)
    means = [statistics.fmean(values) for values in by_question.values()]
    half = float(stats.t.ppf(0.975, len(means) - 1)) * statistics.stdev(means) / len(means) ** 0.5
    middle = statistics.fmean(means)
    return {"value": middle, "low": middle - half, "high": middle + half, "n": len(rows)}


def not_best(values: Mapping[str, Mapping[str, Values]], rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, for each column, every arm with a better rate than exact OPCT, and whether that could be chance."""
    found = []
    for column, (title, _, _, better) in COLUMNS.items():
        mine = rows[OURS][column]["value"]
        for name, row in rows.items():
            other = row[column]["value"]
            if name == OURS or mine is None or other is None or (other < mine) != (better == "lower") or other == mine:
                continue
            difference = _difference(
                {key: value for key, value in values[OURS][column].items() if key in values[name][column]},
                {key: value for key, value in values[name][column].items() if key in values[OURS][column]},
            )
            sure = difference is not None and not difference["low"] <= 0 <= difference["high"]
            found.append({"column": title, "arm": row["title"], "difference": difference, "beyond_chance": sure})
    for cost, title in (("cpu_seconds", "CPU seconds"), ("peak_rss", "memory"), ("kl", "KL from base")):
        mine = _cost(rows[OURS], cost)
        for row in rows.values():
            other = _cost(row, cost)
            if mine is not None and other is not None and other < 0.97 * mine:
                found.append({"column": title, "arm": row["title"], "ratio": other / mine})
    return found


def _cost(row: Mapping[str, Any], name: str) -> float | None:
    value = row[name]
    return value["value"] if isinstance(value, dict) else value


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table as the docs show it."""
    titles = [
        "method",
        *(title for title, *_ in COLUMNS.values()),
        "KL from base",
        "CPU s",
        "MiB",
        "tokens drawn",
        "lr",
    ]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    empty = ["", "", "", "", ""]
    lines.append("| " + " | ".join(["untrained", *(_percent(result["base"][c]) for c in COLUMNS), *empty]) + " |")
    for row in result["arms"].values():
        cells = [row["title"], *(_percent(row[column]) for column in COLUMNS)]
        kl = row["kl"]
        cells.append(f"{kl['value']:.2f} ({kl['low']:.2f} to {kl['high']:.2f})")
        cells.append("" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}")
        cells += [f"{row['peak_rss'] / 2**20:.0f}", f"{row['generated_tokens']:.0f}", f"{row['rate']:g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _percent(rate: Mapping[str, Any]) -> str:
    if rate["value"] is None:
        return "nothing scored"
    return f"{100 * rate['value']:.0f}% ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})"


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Return where exact OPCT is not the best, a line for each column."""
    lines = []
    for column in dict.fromkeys(entry["column"] for entry in result["not_best"]):
        entries = [entry for entry in result["not_best"] if entry["column"] == column]
        if "ratio" in entries[0]:
            said = ", ".join(f"{e['arm']} ({100 * e['ratio']:.0f}% of it)" for e in entries)
        else:
            said = ", ".join(
                f"{e['arm']} ({100 * e['difference']['value']:+.0f} points"
                + ("" if e["beyond_chance"] else ", could be chance") + ")"
                for e in entries if e["difference"]
            )  # fmt: skip
        lines.append(f"{column}: {said}")
    return lines
