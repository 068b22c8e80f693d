"""Statistics: equal to scipy and statsmodels where they overlap, and covering as promised where they do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from unswayed.stats.intervals import (
    cluster_variance,
    effective_size,
    estimate,
    holm,
    paired,
    paired_difference,
    proportion,
    sign_flip_p,
    tango,
    tango_statistic,
    totals,
)

Z = stats.norm.ppf(0.975)


def names(count: int, size: int = 1) -> list[str]:
    return [f"g{i // size}" for i in range(count)]


def pairs(b: int, c: int, n: int) -> list[float]:
    return [1.0] * b + [-1.0] * c + [0.0] * (n - b - c)


# ---- one rate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 20), (1, 20), (7, 20), (20, 20), (1, 1), (499, 500)])
def test_rate_of_single_samples_is_wilson(k: int, n: int) -> None:
    interval = proportion([1.0] * k + [0.0] * (n - k), names(n))
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert interval.method == "wilson"
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-8)


def test_cluster_variance_equals_statsmodels() -> None:
    rng = np.random.default_rng(0)
    groups = np.array(names(60, 4))
    values = (rng.random(60) < 0.4).astype(float)
    sums, sizes = totals(values, groups.tolist())
    codes = np.unique(groups, return_inverse=True)[1]
    fitted = sm.OLS(values, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    assert cluster_variance(sums, sizes) == pytest.approx(fitted.bse[0] ** 2, abs=1e-12)


def test_standard_error_of_graded_differences_is_statsmodels_cluster_robust_one() -> None:
    rng = np.random.default_rng(1)
    groups = np.array(names(90, 3))
    values = rng.uniform(-1, 1, 90)
    codes = np.unique(groups, return_inverse=True)[1]
    fitted = sm.OLS(values, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    for scale in (1.0, 2.0):
        pairs = paired(scale * values, groups.tolist())
        assert pairs.scale == scale
        assert pairs.mean == pytest.approx(scale * values.mean(), abs=1e-12)
        assert pairs.error == pytest.approx(scale * fitted.bse[0], abs=1e-8)
        assert pairs.interval() == pytest.approx(scale * fitted.conf_int()[0], abs=0.01 * scale)


def test_identical_answers_within_clusters_count_once() -> None:
    # 20 questions asked five times each, always with the same outcome: 100 samples know no more than 20 do.
    values = [float(i // 5 < 8) for i in range(100)]
    clustered, single = proportion(values, names(100, 5)), proportion([float(i < 8) for i in range(20)], names(20))
    assert clustered.low is not None
    assert clustered.high is not None
    assert single.low is not None
    assert single.high is not None
    assert clustered.value == single.value
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high), abs=0.02)


def test_extreme_rates_with_clusters_count_clusters() -> None:
    interval = proportion([0.0] * 60, names(60, 3))
    expected = stats.binomtest(0, 20).proportion_ci(method="wilson")
    assert interval.high == pytest.approx(expected.high, abs=1e-8)


def test_one_cluster_has_no_interval() -> None:
    for interval in (proportion([1.0, 0.0], ["a", "a"]), paired_difference([1.0, 0.0], ["a", "a"])):
        assert (interval.value, interval.low, interval.high) == (0.5, None, None)
    assert sign_flip_p([1.0, 0.0], ["a", "a"]) is None


@pytest.mark.parametrize(
    ("clusters", "size", "rate", "icc"), [(50, 20, 0.6, 0.3), (30, 10, 0.9, 0.2), (20, 3, 0.3, 0.1)]
)
def test_clustered_rate_covers(clusters: int, size: int, rate: float, icc: float) -> None:
    rng = np.random.default_rng(2)
    runs = 2000
    spread = (1 - icc) / icc
    chance = rng.beta(rate * spread, (1 - rate) * spread, size=(runs, clusters))
    sums = rng.binomial(size, chance)
    n, means = clusters * size, sums.sum(1) / (clusters * size)
    variance = clusters / (clusters - 1) * ((sums - size * means[:, None]) ** 2).sum(1) / n**2
    size_n = effective_size(n, clusters, means * (1 - means) / n, variance)
    centre = (means + Z**2 / (2 * size_n)) / (1 + Z**2 / size_n)
    half = Z / (1 + Z**2 / size_n) * np.sqrt(means * (1 - means) / size_n + Z**2 / (4 * size_n**2))
    covered = (np.abs(centre - rate) <= half).mean()
    assert 0.93 <= covered <= 0.99
    naive = np.abs(means - rate) <= Z * np.sqrt(means * (1 - means) / n)
    assert naive.mean() < covered  # what treating samples of one question as independent would give
    # the vectorised formula above is the function under test
    values = (np.arange(size) < sums[0][:, None]).astype(float).ravel()
    interval = proportion(values.tolist(), names(n, size))
    assert (interval.low, interval.high) == pytest.approx((centre[0] - half[0], centre[0] + half[0]), abs=1e-8)


# ---- paired differences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("b", "c", "n"), [(12, 2, 50), (1, 0, 30), (0, 4, 40), (9, 9, 60), (25, 3, 40), (150, 86, 1600)]
)
def test_tango_limits_are_where_the_score_test_turns(b: int, c: int, n: int) -> None:
    low, high = tango(b, c, n)

    def score(difference: float) -> float:
        """The score statistic from its definition: the constrained likelihood is maximised numerically."""

        def negative_log_likelihood(q: float) -> float:
            p = q + difference
            rest = 1 - p - q
            terms = ((b, p), (c, q), (n - b - c, rest))
            return -sum(count * np.log(max(chance, 1e-300)) for count, chance in terms if count)

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        q = optimize.minimize_scalar(
            negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        return float((b - c - n * difference) / np.sqrt(n * (2 * q + difference - difference**2)))

    assert score(float(low)) == pytest.approx(Z, abs=1e-3)
    assert score(float(high)) == pytest.approx(-Z, abs=1e-3)
    assert low < (b - c) / n < high


@pytest.mark.parametrize("n", [1, 6, 50, 1000])
def test_no_flips_at_all_has_the_closed_form(n: int) -> None:
    low, high = tango(0, 0, n)
    assert (low, high) == pytest.approx((-(Z**2) / (n + Z**2), Z**2 / (n + Z**2)), abs=1e-12)


@given(st.integers(1, 200), st.data())
@settings(deadline=None, max_examples=100)
def test_tango_is_symmetric_holds_the_estimate_and_stays_in_range(n: int, data: st.DataObject) -> None:
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    low, high = tango(b, c, n)
    mirrored = tango(c, b, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-9)


def test_tango_at_zero_is_mcnemars_statistic() -> None:
    assert tango_statistic(12.0, 2.0, 50.0, 0.0) == pytest.approx((12 - 2) / np.sqrt(12 + 2), abs=1e-12)


@pytest.mark.parametrize(("n", "flips", "true"), [(50, 0.02, 0.0), (100, 0.1, 0.05), (200, 0.21, -0.1), (60, 0.4, 0.3)])
def test_unclustered_paired_difference_covers(n: int, flips: float, true: float) -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(n, [(flips + true) / 2, (flips - true) / 2, 1 - flips], size=4000)
    low, high = tango(counts[:, 0], counts[:, 1], n)
    assert ((low <= true) & (true <= high)).mean() >= 0.94


@pytest.mark.parametrize(
    ("clusters", "size", "flips", "true", "icc"),
    [(10, 4, 0.1, 0.05, 0.7), (15, 12, 0.1, 0.05, 0.7), (40, 3, 0.05, 0.0, 0.3), (100, 3, 0.3, 0.2, 0.3)],
)
def test_clustered_paired_difference_covers_where_others_fall_short(
    clusters: int, size: int, flips: float, true: float, icc: float
) -> None:
    rng = np.random.default_rng(4)
    runs, n = 2000, clusters * size
    spread = (1 - icc) / icc
    shares = np.array([(flips + true) / 2, (flips - true) / 2, 1 - flips]) * spread
    chances = rng.dirichlet(shares, size=(runs, clusters))
    drawn = rng.random((runs, clusters, size))
    up = drawn < chances[..., :1]
    moved = up.astype(float) - (~up & (drawn < chances[..., :2].sum(-1, keepdims=True)))
    mean = moved.mean((1, 2))
    variance = clusters / (clusters - 1) * ((moved - mean[:, None, None]).sum(2) ** 2).sum(1) / n**2
    share = (moved != 0).mean((1, 2))
    effective = effective_size(n, clusters, (share - mean**2) / n, variance)
    low, high = tango((moved > 0).mean((1, 2)) * effective, (moved < 0).mean((1, 2)) * effective, effective)
    covered = ((low <= true) & (true <= high)).mean()
    assert covered >= 0.94
    naive_low, naive_high = tango((moved > 0).sum((1, 2)), (moved < 0).sum((1, 2)), n)
    assert ((naive_low <= true) & (true <= naive_high)).mean() < covered
    one = paired_difference(moved[0].ravel().tolist(), names(n, size))
    assert (one.low, one.high) == pytest.approx((low[0], high[0]), abs=1e-9)


def test_equal_differences_are_never_an_interval_of_zero_width() -> None:
    for values, groups in (([0.0] * 40, names(40, 2)), ([1.0] * 40, names(40, 2)), ([2.0] * 40, names(40, 2))):
        interval = paired_difference(values, groups)
        assert interval.low is not None
        assert interval.high is not None
        assert interval.high - interval.low > 0.05


# ---- tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (6, 0), (12, 2), (30, 31), (200, 150)])
def test_sign_flips_of_single_pairs_are_exact_mcnemar(b: int, c: int) -> None:
    n = b + c + 17
    ours = sign_flip_p(pairs(b, c, n), names(n))
    assert ours == pytest.approx(mcnemar([[17, b], [c, 0]], exact=True).pvalue, abs=1e-8)
    assert ours == pytest.approx(stats.binomtest(b, b + c).pvalue if b + c else 1.0, abs=1e-8)


def test_sign_flips_of_clusters_equal_full_enumeration() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(-1, 2, 36).astype(float)
    groups = names(36, 3)
    sums, _ = totals(values, groups)
    expected = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    every = [abs(np.dot(signs, sums)) >= abs(sums.sum()) for signs in itertools.product((-1, 1), repeat=12)]
    assert sign_flip_p(values.tolist(), groups) == pytest.approx(np.mean(every), abs=1e-8)
    assert sign_flip_p(values.tolist(), groups) == pytest.approx(expected, abs=1e-8)


def test_sign_flips_keep_their_level_with_correlated_clusters() -> None:
    rng = np.random.default_rng(6)
    rejected = 0
    for _ in range(800):
        # every phrasing of a question flips together: 20 questions are 20 facts, not 100
        values = np.repeat(rng.choice([-1.0, 0.0, 1.0], 20), 5)
        rejected += (sign_flip_p(values.tolist(), names(100, 5)) or 1) <= 0.05
    assert rejected / 800 <= 0.06


def test_sign_flips_of_graded_scores_are_every_assignment_or_a_seeded_draw() -> None:
    rng = np.random.default_rng(7)
    few = rng.normal(0.2, 0.3, 10).clip(-1, 1)
    every = [abs(np.dot(signs, few)) >= abs(few.sum()) - 1e-12 for signs in itertools.product((-1, 1), repeat=10)]
    assert sign_flip_p(few.tolist(), names(10)) == pytest.approx(np.mean(every), abs=1e-8)
    many = rng.normal(0.1, 0.3, 40).clip(-1, 1)
    p = sign_flip_p(many.tolist(), names(40))
    assert p == sign_flip_p(many.tolist(), names(40))
    assert p == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.02)


def test_holm_equals_statsmodels_and_skips_what_was_not_tested() -> None:
    p = [0.01, 0.04, 0.03]
    assert holm([0.01, None, 0.04, 0.03]) == [
        pytest.approx(value) if value is not None else None
        for value in (*multipletests(p, method="holm")[1][:1], None, *multipletests(p, method="holm")[1][1:])
    ]
    assert holm([None, None]) == [None, None]
    assert holm([]) == []


# ---- estimates ----------------------------------------------------------------------------------------------------


def test_unscored_values_are_counted_and_not_averaged() -> None:
    rate = estimate([1.0, None, 0.0, None, 1.0], ["a", "b", "c", "d", "e"])
    assert (rate.value, rate.n, rate.clusters, rate.unscored) == (pytest.approx(2 / 3), 3, 3, 2)
    nothing = estimate([None, None], ["a", "b"])
    assert (nothing.value, nothing.low, nothing.high, nothing.n, nothing.unscored) == (None, None, None, 0, 2)
    assert nothing.method == "nothing scored"
