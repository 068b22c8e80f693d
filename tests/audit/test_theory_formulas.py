"""Formulas of the theory against brute force on small worlds, and against their published special cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.audit.theory import replicator, sharpening
from unswayed.audit.theory.selection import Pool, bound, bound_of_pool, by_source, curve, eta, sign_flip
from unswayed.core.errors import DataError
from unswayed.labels.estimators import selection_pressure


def test_the_bound_has_its_published_values_and_is_the_limit_of_pools() -> None:
    for k, value in ((2, 0.250), (3, 0.385), (4, 0.4725), (8, 0.650), (16, 0.779)):
        assert bound(k) == pytest.approx(value, abs=6e-4)
        assert bound_of_pool(40 * k, k) == pytest.approx(bound(k), abs=0.02)
        assert bound_of_pool(40 * k, k) >= bound(k) - 1e-9
    assert bound(1) == 0 == bound_of_pool(5, 1)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=40), st.integers(2, 16))
def test_no_curve_moves_a_rate_further_than_the_bound(steps: list[float], k: int) -> None:
    """B of a step function η is exact: ∫ (k u^{k−1} − 1) η du over each step."""
    edges = np.linspace(0, 1, len(steps) + 1)
    b = float(np.dot(steps, np.diff(edges**k) - np.diff(edges)))
    assert abs(b) <= bound(k) * (max(steps) - min(steps)) + 1e-12


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.floats(0, 1)), min_size=2, max_size=9), st.data())
def test_no_pool_moves_further_than_its_own_bound(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    scores, outcomes = zip(*pairs, strict=True)
    k = data.draw(st.integers(1, len(pairs)))
    b = selection_pressure(scores, outcomes, k)
    assert b is not None
    assert abs(b) <= bound_of_pool(len(pairs), k) * (max(outcomes) - min(outcomes)) + 1e-9


def test_a_straight_curve_gives_the_closed_form_and_a_monotone_one_the_sign() -> None:
    """Proposition 3.2 of arXiv 2606.03810, within prompts; and the k-scaling of a straight η."""
    n = 400
    u = (np.arange(n) + 0.5) / n
    for k in (2, 4, 8):
        straight = Pool(tuple(map(float, range(n))), tuple(map(float, 0.2 + 0.6 * u)))
        assert selection_pressure(straight.scores, straight.outcomes, k) == pytest.approx(
            0.6 * (k - 1) / (2 * (k + 1)), abs=2e-3
        )
    generator = np.random.default_rng(0)
    for _ in range(20):
        rising = np.sort(generator.random(7))
        for sign, outcomes in ((1, rising), (-1, rising[::-1])):
            for k in range(2, 8):
                b = selection_pressure([float(i) for i in range(7)], [float(m) for m in outcomes], k)
                assert b is not None
                assert sign * b > 0


def test_pooled_scores_show_a_slope_where_nothing_is_selected_and_ranks_within_prompts_do_not() -> None:
    """Simpson: prompts with high scores show the behaviour more, and inside each the score says nothing."""
    generator = np.random.default_rng(1)
    pools = []
    for prompt in range(300):
        p = 0.9 if prompt % 2 else 0.1
        scores = tuple(float(s) for s in generator.normal(5 * (prompt % 2), 1, 8))
        pools.append(Pool(scores, tuple(float(m) for m in generator.random(8) < p)))
    every = [(s, m) for pool in pools for s, m in zip(pool.scores, pool.outcomes, strict=True)]
    assert np.corrcoef(np.array(every).T)[0, 1] > 0.6
    found = eta(pools, permutations=99)
    assert found.oscillation < 0.08
    assert found.p_value > 0.02
    assert all(
        point.interval and point.interval[0] < 0 < point.interval[1] for point in curve(pools, replicates=300)[1:]
    )


def test_a_curve_that_rises_is_found_with_its_oscillation_and_bound() -> None:
    generator = np.random.default_rng(2)
    pools = []
    for _ in range(400):
        scores = generator.random(8)
        rank = scores.argsort().argsort()
        pools.append(Pool(tuple(map(float, scores)), tuple(map(float, generator.random(8) < 0.1 + 0.7 * rank / 7))))
    found = eta(pools, permutations=99)
    assert found.direction == 1
    assert found.p_value <= 0.01
    assert 0.5 < found.oscillation < 0.8
    assert found.interval is not None
    assert found.interval[0] < found.oscillation < found.interval[1]
    points = curve(pools, replicates=300)
    assert [point.k for point in points] == list(range(1, 9))
    assert points[0].selection == pytest.approx(0, abs=1e-12)
    assert all(a.selection < b.selection for a, b in itertools.pairwise(points))
    # Expected by brute force over ranks: Σ_r w_r (0.1 + 0.7 r/7) − mean.
    for point in points:
        weights = [math.comb(r, point.k - 1) / math.comb(8, point.k) for r in range(8)]
        expected = sum(w * (0.1 + 0.7 * r / 7) for r, w in enumerate(weights)) - 0.45
        assert point.interval is not None
        assert point.interval[0] - 0.02 <= expected <= point.interval[1] + 0.02


def test_ties_everywhere_select_nothing_whatever_k_and_missing_scores_are_never_chosen() -> None:
    tied = [Pool((3.0,) * 4, (1.0, 0.0, 0.0, 1.0)) for _ in range(12)]
    assert all(point.selection == 0 and point.effective_k == pytest.approx(1) for point in curve(tied, replicates=50))
    missing = [Pool((None, None, 1.0, 1.0), (1.0, 1.0, 0.0, 0.0)) for _ in range(12)]
    assert curve(missing, replicates=50)[3].selection == -0.5
    with pytest.raises(DataError, match="no candidate has a score"):
        curve([Pool((None,), (1.0,))])


def test_sources_of_a_mixed_pool_add_up_to_selection() -> None:
    generator = np.random.default_rng(4)
    pools, chosen = [], []
    for _ in range(200):
        pools.append(
            [(source, float(generator.random() < p)) for source, p in (("greedy", 0.2), ("t0.8", 0.5), ("t1", 0.7))]
        )
        chosen.append(int(generator.choice(3, p=[0.6, 0.1, 0.3])))
    found = by_source(pools, chosen)
    b = np.mean([pool[i][1] - np.mean([m for _, m in pool]) for pool, i in zip(pools, chosen, strict=True)])
    assert sum(one["between"] + one["within"] for one in found.values()) == pytest.approx(b, abs=1e-12)
    assert sum(one["picked"] for one in found.values()) == pytest.approx(1)


def test_sign_flips_are_the_exact_test_on_few_prompts() -> None:
    values = [0.5, 0.25, 0.5, -0.25, 0.75]
    every = [abs(np.dot(signs, values)) >= sum(values) - 1e-12 for signs in itertools.product((-1, 1), repeat=5)]
    assert sign_flip(values, draws=20_000) == pytest.approx(np.mean(every), abs=0.01)


# Sharpening


def test_maps_are_those_of_a_tabular_world() -> None:
    p = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.95, 1.0])
    for k in (1, 2, 3, 4, 7):
        by_hand = []
        for rate in p:
            total = 0.0
            for draws in itertools.product((0, 1), repeat=k):
                chance = math.prod(rate if one else 1 - rate for one in draws)
                total += chance * (1 if 2 * sum(draws) > k else 0.5 if 2 * sum(draws) == k else 0)
            by_hand.append(total)
        assert sharpening.majority(k)(p) == pytest.approx(by_hand, abs=1e-12)
    # A softmax over two answers at temperature T, and greedy as its limit: T = 0.7 against greedy.
    logits = np.array([[2.0, 0.3], [0.1, 0.9]])
    for row in logits:
        softmax = lambda t, row=row: np.exp(row / t) / np.exp(row / t).sum()  # noqa: E731
        assert sharpening.tempered(0.7)(softmax(1.0)) == pytest.approx(softmax(0.7))
        assert sharpening.tempered(1e-3)(softmax(1.0)) == pytest.approx(sharpening.greedy(softmax(1.0)))
    # The figures of the notes: 0.7 becomes 0.77 at T = 0.7 and 0.97 at 0.25.
    assert sharpening.tempered(0.7)(np.array([0.7, 0.3])) == pytest.approx([0.77, 0.23], abs=0.005)
    assert sharpening.tempered(0.25)(np.array([0.7, 0.3])) == pytest.approx([0.97, 0.03], abs=0.005)


def drawn(rates: list[float], prompts: int, draws: int, seed: int = 0) -> list[tuple[int, int]]:
    generator = np.random.default_rng(seed)
    return [(int(generator.binomial(draws, p)), draws) for p in generator.choice(rates, prompts)]


def test_the_mixing_distribution_is_the_maximum_and_takes_the_noise_out() -> None:
    counts = drawn([0.2, 0.8], 600, 8)
    found = sharpening.mixing(counts)
    assert found.weights.sum() == pytest.approx(1)
    assert sharpening.optimality(counts, found) < 2e-3
    spread = found.mean_of(lambda p: (p - 0.5) ** 2)
    raw = float(np.mean([(hits / 8 - 0.5) ** 2 for hits, _ in counts]))
    assert spread == pytest.approx(0.09, abs=0.01)  # of the true rates
    assert raw > 0.105  # with binomial noise
    assert found.mean_of(lambda p: p) == pytest.approx(np.mean([hits / 8 for hits, _ in counts]), abs=1e-3)


def test_the_drift_of_a_map_is_predicted_where_plugging_in_rates_is_biased() -> None:
    """All prompts at 0.6: greedy says 1. Rates from 8 draws put a fifth of them below one half."""
    counts = drawn([0.6], 800, 8, seed=5)
    value, low, high = sharpening.predicted_drift(counts, lambda p: p, sharpening.greedy, replicates=100)
    truth = 0.4
    plug_in = float(
        np.mean(sharpening.greedy(np.array([hits / 8 for hits, _ in counts])) - [hits / 8 for hits, _ in counts])
    )
    assert abs(plug_in - truth) > 0.1
    assert low <= truth + 0.02
    assert abs(value - truth) < abs(plug_in - truth)
    assert low <= value <= high


def test_the_direction_depends_on_where_the_rates_lie_and_not_on_their_mean() -> None:
    """Same mean 0.4; a bimodal world falls less and a unimodal one falls to zero."""
    one = sharpening.predicted_drift(drawn([0.4], 400, 16), lambda p: p, sharpening.tempered(0.25), replicates=50)
    two = sharpening.predicted_drift(drawn([0.1, 0.7], 400, 16), lambda p: p, sharpening.tempered(0.25), replicates=50)
    assert one[2] < -0.1
    assert two[1] > one[2]


def test_no_map_no_drift() -> None:
    assert sharpening.predicted_drift(drawn([0.3, 0.9], 50, 8), lambda p: p, lambda p: p, replicates=20) == (0, 0, 0)


# Rounds


def test_odds_grow_by_the_multiplier_where_weights_see_the_behaviour_alone() -> None:
    law, m = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 0.0, 1.0, 0.0])
    weights = np.where(m == 1, 1.5, 0.5)
    rates = replicator.trajectory(law, weights, m, 6)
    lambda_ = replicator.multiplier(rates[0], rates[1])
    assert lambda_ == pytest.approx(3)
    assert [replicator.after_rounds(0.4, 3.0, t) for t in range(7)] == pytest.approx(list(rates))
    rounds = replicator.rounds_to(0.4, 3.0)
    assert rounds is not None
    assert rates[math.ceil(rounds)] >= 0.9 > rates[math.ceil(rounds) - 1]


def test_what_is_favoured_inside_the_behaviour_makes_later_rounds_faster() -> None:
    law, m = np.array([0.05, 0.25, 0.7]), np.array([1.0, 1.0, 0.0])
    rates = replicator.trajectory(law, np.array([4.0, 1.0, 1.0]), m, 3)
    lambda_ = replicator.multiplier(rates[0], rates[1])
    assert lambda_ is not None
    assert rates[3] > replicator.after_rounds(rates[0], lambda_, 3) > rates[1]


def test_odds_of_certainties_say_nothing() -> None:
    assert replicator.multiplier(0.0, 0.5) is None
    assert replicator.rounds_to(0.2, 0.8) is None
    assert replicator.rounds_to(0.95, 0.8) == 0
    assert replicator.after_rounds(1.0, 0.5, 3) == 1
