"""Shares and means with organisms as the units: the published figures again, and a simulation of what clusters do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unswayed.report.html import sweep_page
from unswayed.sweep.page import _tile
from unswayed.sweep.rows import COLUMNS, Row, to_parquet
from unswayed.sweep.shares import last_checkpoints, share_of, summary


def row(difference: float | None, **axes: Any) -> Row:
    """A row of the table with a difference."""
    empty: Row = dict.fromkeys(COLUMNS)
    return {**empty, "model": "m", "family": "f", "method": "a", "seed": 0, "checkpoint": 1, "metric": "f_trait",
            "degenerate": "", "difference": difference, **axes}  # fmt: skip


@pytest.mark.parametrize(
    ("fell", "runs", "published"), [(110, 175, 8e-4), (115, 160, 3e-8), (87, 173, 1.0), (44, 174, 5e-11)]
)
def test_the_exact_binomial_gives_the_published_p_values(fell: int, runs: int, published: float) -> None:
    """Counts of the study's four families, from its shares; its own p-values to one digit."""
    share = share_of([row(-0.1 if place < fell else 0.1, seed=place) for place in range(runs)])
    assert share is not None
    assert (share.fell, share.rose, share.runs) == (fell, runs - fell, runs)
    assert share.binomial == pytest.approx(published, rel=0.5)


def test_runs_of_one_organism_are_no_independent_evidence() -> None:
    """Five methods that copy their organism's sign: p rises to what the organisms alone would leave."""
    signs = [-1] * 20 + [1] * 7
    runs = [row(0.2 * sign, seed=seed, method=f"m{method}") for seed, sign in enumerate(signs) for method in range(5)]
    share = share_of(runs)
    alone = share_of([row(0.2 * sign, seed=seed) for seed, sign in enumerate(signs)])
    assert share is not None
    assert alone is not None
    assert share.binomial < 1e-6
    assert share.clustered == pytest.approx(alone.clustered, abs=0.02)
    assert share.clustered is not None
    assert share.clustered > 100 * share.binomial
    assert share.mean.low is not None
    assert alone.mean.low is not None
    assert share.mean.low == pytest.approx(alone.mean.low, abs=0.02)
    assert share.by_model is None  # one base model: nothing can be said of models


def test_the_interval_by_organism_covers_where_the_one_by_runs_does_not() -> None:
    """27 organisms of one true effect, five methods each that share the organism's deviation."""
    generator = np.random.default_rng(0)
    inside = {"organisms": 0, "runs": 0}
    for _ in range(200):
        shared = generator.normal(0.05, 0.15, 27).clip(-1, 1)
        runs = [
            row(float(np.clip(shared[seed] + generator.normal(0, 0.03), -1, 1)), seed=seed)
            for seed in range(27)
            for _ in range(5)
        ]
        apart = [{**each, "seed": place} for place, each in enumerate(runs)]
        for name, rows in (("organisms", runs), ("runs", apart)):
            share = share_of(rows)
            assert share is not None
            assert share.mean.low is not None
            assert share.mean.high is not None
            inside[name] += share.mean.low <= 0.05 <= share.mean.high
    assert inside["organisms"] >= 180
    assert inside["runs"] < 150


def test_unmeasured_rows_and_earlier_checkpoints_are_left_out() -> None:
    rows = [
        row(None),
        row(-0.1, checkpoint=1, seed=1),
        row(0.3, checkpoint=2, seed=1),
        row(-0.2, seed=2, degenerate="empty"),
    ]
    assert [each["checkpoint"] for each in last_checkpoints(rows)] == [1, 2, 1]
    told = summary(rows, {"f": ("organisms/f", "f_trait")}, controls=["a"])
    assert told["by_method"]["f"]["a"]["runs"] == 2
    assert told["by_method"]["f"]["a"]["degenerate"] == 1
    assert told["all_methods"] == {}
    assert share_of([row(None)]) is None


def test_equal_rows_give_equal_bytes() -> None:
    rows = [row(0.1), row(None, value=0.5, unscored=3)]
    assert to_parquet(rows) == to_parquet(list(rows))


def test_a_run_without_a_score_has_a_tile_and_is_no_zero() -> None:
    """What could not be scored is shown as that: not as a run that is missing, and not as one that changed nothing."""
    tile = _tile([row(None, unscored=7, degenerate="empty")])
    assert tile is not None
    assert tile["value"] == "nothing scored"
    assert tile["notes"] == ["1 run", "7 unscored"]
    assert tile["degenerate"] == ["empty"]
    assert _tile([]) is None
    two = _tile(
        [row(-0.2, pairs=3, unscored=1, better="lower"), row(-0.4, seed=1, pairs=4, unscored=0, better="lower")]
    )
    assert two is not None
    assert (two["value"], two["tone"], two["notes"]) == ("−30.0", "better", ["2 organisms", "7 pairs", "1 unscored"])


def test_only_intervals_without_zero_are_framed() -> None:
    tile = _tile([row(0.1, pairs=3, unscored=0, better="lower")])
    assert tile is not None
    rows = [{"label": "f", "tiles": [{**tile, "clear": False}, {**tile, "clear": True}]}]
    matrix = {"id": "heat", "title": "t", "note": "n", "columns": ["a", "b"], "rows": rows}
    page = sweep_page({"title": "t", "lead": [], "matrices": [matrix], "shares": [], "changes": [], "facts": {}})
    assert page.count('class="tile worse"') == page.count('class="tile worse clear"') == 1
