"""Best-of-k against brute force over all subsets, ties and missing scores included."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.errors import ConfigError, DataError
from unswayed.labels.estimators import (
    best_of_k,
    effective_k,
    mean_pressure,
    selection_pressure,
    selection_weights,
)

# Few levels, so that ties are common; None is missing.
SCORES = st.lists(st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 1.0, 2.0])), min_size=1, max_size=7)


def subsets(scores: list[float | None], k: int) -> list[tuple[list[int], list[int]]]:
    """Every k-subset with the places of its best candidates (none where nothing in it is scored)."""
    found = []
    for subset in itertools.combinations(range(len(scores)), k):
        values = [scores[i] for i in subset if scores[i] is not None]
        best = [i for i in subset if values and scores[i] == max(v for v in values if v is not None)]
        found.append((list(subset), best))
    return found


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[float | None], list[float], int]:
    scores = draw(SCORES)
    outcomes = draw(st.lists(st.floats(-3, 3), min_size=len(scores), max_size=len(scores)))
    return scores, outcomes, draw(st.integers(1, len(scores)))


@settings(deadline=None, max_examples=150)
@given(pools())
def test_best_of_k_is_the_mean_over_all_subsets(pool: tuple[list[float | None], list[float], int]) -> None:
    scores, outcomes, k = pool
    every = subsets(scores, k)
    kept = [statistics.fmean(outcomes[i] for i in best) for _, best in every if best]
    estimate = best_of_k(scores, outcomes, k)
    assert estimate.kept == pytest.approx(len(kept) / len(every), abs=1e-12)
    if not kept:
        assert estimate.value is None
        assert selection_pressure(scores, outcomes, k) is None
        return
    assert estimate.value == pytest.approx(statistics.fmean(kept), abs=1e-12)
    expected = statistics.fmean(kept) - statistics.fmean(outcomes)
    assert selection_pressure(scores, outcomes, k) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(pools())
def test_levels_are_counted_over_all_subsets(pool: tuple[list[float | None], list[float], int]) -> None:
    scores, _, k = pool
    every = subsets(scores, k)
    levels = [len({scores[i] for i in subset if scores[i] is not None}) for subset, _ in every]
    assert effective_k(scores, k) == pytest.approx(statistics.fmean(levels), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(pools())
def test_weights_are_probabilities_and_grow_with_the_score(pool: tuple[list[float | None], list[float], int]) -> None:
    scores, _, k = pool
    weights = selection_weights(scores, k)
    assert sum(weights) == pytest.approx(best_of_k(scores, [0.0] * len(scores), k).kept, abs=1e-12)
    ranked = sorted((score, weight) for score, weight in zip(scores, weights, strict=True) if score is not None)
    assert all(a[1] <= b[1] + 1e-15 for a, b in itertools.pairwise(ranked))
    assert all(weight == 0 for score, weight in zip(scores, weights, strict=True) if score is None)


def test_by_hand() -> None:
    # Four distinct scores, best of two: ranks win 0, 1, 2, 3 of the six subsets.
    assert selection_weights([3.0, 1.0, 4.0, 2.0], 2) == pytest.approx([2 / 6, 0, 3 / 6, 1 / 6])
    assert selection_pressure([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 1], 2) == pytest.approx(3 / 6 - 1 / 4)
    # All tied: choosing adds nothing, at any k; every subset holds one level.
    for k in (1, 2, 3):
        assert selection_pressure([5.0, 5.0, 5.0], [0, 1, 0], k) == pytest.approx(0, abs=1e-15)
        assert effective_k([5.0, 5.0, 5.0], k) == 1


def test_a_score_without_information_selects_nothing_on_average_over_relabelings() -> None:
    scores, outcomes = [1.0, 2.0, 2.0, 4.0], [0.0, 1.0, 1.0, 0.0]
    mean = statistics.fmean(
        selection_pressure(list(order), outcomes, 3) or 0.0 for order in itertools.permutations(scores)
    )
    assert mean == pytest.approx(0, abs=1e-15)


def test_means_over_prompts_leave_out_what_has_no_best() -> None:
    pools = [([1.0, 2.0], [0.0, 1.0]), ([None, None], [1.0, 1.0]), ([2.0, 1.0], [0.0, 1.0]), ([1.0, 2.0], [0.0, 1.0])]
    pressure = mean_pressure(pools, 2)
    assert (pressure.prompts, pressure.left_out) == (3, 1)
    assert pressure.mean == pytest.approx((0.5 - 0.5 + 0.5) / 3)
    assert pressure.standard_error == pytest.approx(statistics.stdev([0.5, -0.5, 0.5]) / math.sqrt(3))
    assert mean_pressure([([None], [1.0])], 1).mean is None
    assert mean_pressure(pools[:1], 2).standard_error is None


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_pool_is_refused(k: int) -> None:
    with pytest.raises(ConfigError, match="from 1 to the size of the pool"):
        best_of_k([1.0, 2.0, 3.0], [0, 0, 0], k)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        selection_weights([1.0, math.nan], 1)
    with pytest.raises(DataError, match="outcome"):
        best_of_k([1.0], [math.inf], 1)
    with pytest.raises(DataError, match="one of each"):
        best_of_k([1.0, 2.0], [1.0], 1)
