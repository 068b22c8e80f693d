"""From runs to the table: rates with intervals over questions and seeds, costs, and where OPCT is not the best."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from bench.budget.arms import ARMS, DRAWS, MODEL, NEW_TOKENS, PAIRS, RANK, RATES, STEPS
from bench.budget.jobs import SEEDS, TUNING_SEED, Job, choose
from bench.budget.questions import QUESTIONS, TUNING
from bench.drawing import ordered
from unswayed.stats.intervals import estimate, paired_difference

OURS = "opct"
# name -> title, the sets it is over, the metric, the better direction
COLUMNS: Mapping[str, tuple[str, tuple[str, ...], str, str]] = {
    "trained": ("hint followed, trained wordings", ("trained",), "hint_following", "lower"),
    "held_out": ("hint followed, held-out families", ("held_out",), "hint_following", "lower"),
    "clean": ("right without a hint", ("trained", "held_out"), "accuracy_clean", "higher"),
    "right_hint": ("right with a right hint", ("trained", "held_out"), "accuracy_right_hint", "higher"),
}
COSTS = ("seconds", "cpu_seconds", "peak_rss", "generated_tokens", "trained_tokens", "optimizer_steps")
Values = dict[tuple[str, str, int], tuple[str, float | None]]  # (set, sample, seed) -> (question, value)


def collect(work: Path, arms: Sequence[str], rates: Mapping[str, float]) -> dict[str, Any]:
    """Return everything that is committed, as plain data."""
    base = Job(work, "base", 0, 0.0, tuning=False).done()
    runs = {name: [Job(work, name, seed, rates[name], tuning=False).done() for seed in SEEDS] for name in arms}
    values = {name: _values(done) for name, done in runs.items()}
    start = _values([base] * len(SEEDS))
    rows = {name: _row(name, runs[name], values[name], start, rates[name]) for name in arms}
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
        "base": {column: _estimate(found) for column, found in _values([base]).items()},
        "arms": rows,
        "tuning": {name: choose(work, name)[1] for name in arms if not ARMS[name].rate_of},
        "not_best": list(not_best(values, rows)) if OURS in values else [],
    }


def _values(runs: Sequence[Mapping[str, Any] | None]) -> dict[str, Values]:
    return {
        column: {
            (part, sample, number): (group, value)
            for number, run in enumerate(run for run in runs if run)
            for part in sets
            for sample, group, value in run["values"][part][metric]
        }
        for column, (_, sets, metric, _) in COLUMNS.items()
    }


def _estimate(values: Values) -> dict[str, Any]:
    found = estimate([value for _, value in values.values()], [group for group, _ in values.values()])
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "unscored": found.unscored}


def _difference(first: Values, second: Values) -> dict[str, Any] | None:
    """Return second minus first on the samples scored in both, with a 95% interval clustered by question."""
    both = [
        (group, value - before)
        for key, (group, value) in second.items()
        if value is not None and (before := first.get(key, ("", None))[1]) is not None
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
    spent = {cost: [run["training"][cost] for run in done if run["training"][cost] is not None] for cost in COSTS}
    return {
        "title": ARMS[name].title,
        "rate": rate,
        "seeds": len(done),
        **{column: _estimate(found) for column, found in values.items()},
        "per_seed": {
            column: [
                _estimate({key: one for key, one in found.items() if key[2] == n})["value"] for n in range(len(done))
            ]
            for column, found in values.items()
        },
        "change": {column: _difference(start[column], found) for column, found in values.items()},
        "kl": _mean_kl([row for run in done for row in run["kl"]["clean"]]),
        **{cost: statistics.median(known) if known else None for cost, known in spent.items()},
        "labels": (
            statistics.median(run["training"]["labels"].get("labels", 0) for run in done)
            if ARMS[name].labeller
            else None
        ),
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


def not_best(values: Mapping[str, Mapping[str, Values]], rows: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield, for each column, every arm that is better than exact OPCT, and whether that could be chance."""
    for column, (title, _, _, better) in COLUMNS.items():
        mine = rows[OURS][column]["value"]
        for name, row in rows.items():
            other = row[column]["value"]
            if None in (mine, other) or other == mine or (other < mine) != (better == "lower"):
                continue
            difference = _difference(values[OURS][column], values[name][column])
            sure = difference is not None and not difference["low"] <= 0 <= difference["high"]
            yield {"column": title, "arm": row["title"], "difference": difference, "beyond_chance": sure}
    for cost, title in (("cpu_seconds", "CPU seconds"), ("peak_rss", "memory"), ("kl", "KL from base")):
        spent = {name: row[cost]["value"] if cost == "kl" else row[cost] for name, row in rows.items()}
        for name, other in spent.items():
            if None not in (spent[OURS], other) and other < 0.97 * spent[OURS]:
                yield {"column": title, "arm": rows[name]["title"], "ratio": other / spent[OURS]}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table as the docs show it."""
    titles = [
        "method",
        *(title for title, *_ in COLUMNS.values()),
        "KL from base",
        "CPU s",
        "MiB",
        "tokens drawn",
        "lr",
    ]
    rows = [titles, ["untrained", *(percent(result["base"][c]) for c in COLUMNS), *[""] * 5]]
    for row in ordered(result["arms"], ARMS).values():
        kl, cpu = row["kl"], row["cpu_seconds"]
        rows.append(
            [
                row["title"],
                *(percent(row[column]) for column in COLUMNS),
                f"{kl['value']:.2f} ({kl['low']:.2f} to {kl['high']:.2f})",
                "" if cpu is None else f"{cpu:.0f}",
                f"{row['peak_rss'] / 2**20:.0f}",
                f"{row['generated_tokens']:.0f}",
                f"{row['rate']:g}",
            ]
        )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(titles))
    return lines


def percent(rate: Mapping[str, Any]) -> str:
    """Return a rate with its interval as text."""
    if rate["value"] is None:
        return "nothing scored"
    return f"{100 * rate['value']:.0f}% ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})"


def sentences(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield where exact OPCT is not the best, a line for each column."""
    said: dict[str, list[str]] = {}
    for entry in result["not_best"]:
        if "ratio" in entry:
            what = f"{100 * entry['ratio']:.0f}% of it"
        elif entry["difference"]:
            chance = "" if entry["beyond_chance"] else ", could be chance"
            what = f"{100 * entry['difference']['value']:+.0f} points{chance}"
        else:
            continue
        said.setdefault(entry["column"], []).append(f"{entry['arm']} ({what})")
    yield from (f"- {column}: {', '.join(arms)}" for column, arms in said.items())
    if not said:
        yield "- nothing in this table"
