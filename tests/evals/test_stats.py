"""Statistics: equal to scipy and statsmodels where they overlap, and covering as promised where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from unswayed.stats.clusters import clusters, freedom, jackknife_variance, totals
from unswayed.stats.decisions import Evidence, adjusted, claim_level, decide
from unswayed.stats.intervals import estimate, proportion
from unswayed.stats.paired import paired, paired_difference, tango, tango_statistic

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


def test_the_variance_of_equal_clusters_equals_statsmodels() -> None:
    rng = np.random.default_rng(0)
    groups = np.array(names(60, 4))
    values = (rng.random(60) < 0.4).astype(float)
    sums, sizes = totals(values, groups.tolist())
    codes = np.unique(groups, return_inverse=True)[1]
    fitted = sm.OLS(values, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    assert jackknife_variance(sums, sizes) == pytest.approx(fitted.bse[0] ** 2, abs=1e-12)


def test_the_variance_of_unequal_clusters_is_that_of_leaving_each_out() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([40.0, 3, 5, 8, 2, 1, 9])
    sums = rng.binomial(sizes.astype(int), 0.4).astype(float)
    left = np.array([(sums.sum() - s) / (sizes.sum() - m) for s, m in zip(sums, sizes, strict=True)])
    mean = sums.sum() / sizes.sum()
    assert jackknife_variance(sums, sizes) == pytest.approx(6 / 7 * ((left - mean) ** 2).sum(), rel=1e-9)


def test_degrees_of_freedom_are_satterthwaites_by_the_whole_matrix() -> None:
    for sizes in ([4.0] * 12, [40.0, 3, 5, 8, 2, 1, 9], [100.0, *[5.0] * 10]):
        held = np.array(sizes)
        count, share = len(held), held / held.sum()
        spread = np.diag(1 / (1 - share)) @ (np.eye(count) - np.outer(share, np.ones(count)))
        matrix = spread @ np.diag(held) @ spread.T
        assert freedom(held) == pytest.approx(np.trace(matrix) ** 2 / np.trace(matrix @ matrix), rel=1e-9)
    assert freedom(np.full(12, 4.0)) == pytest.approx(11)
    assert freedom(np.array([100.0, *[5.0] * 10])) < 2


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
        assert pairs.interval() == pytest.approx(scale * fitted.conf_int()[0], abs=0.02 * scale)


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
    assert interval.high == pytest.approx(expected.high, abs=0.02)


def test_one_cluster_has_no_interval() -> None:
    for interval in (proportion([1.0, 0.0], ["a", "a"]), paired_difference([1.0, 0.0], ["a", "a"])):
        assert (interval.value, interval.low, interval.high) == (0.5, None, None)
    assert paired([1.0, 0.0], ["a", "a"]).p_value is None


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


def test_equal_differences_are_never_an_interval_of_zero_width() -> None:
    for values, groups in (([0.0] * 40, names(40, 2)), ([1.0] * 40, names(40, 2)), ([2.0] * 40, names(40, 2))):
        interval = paired_difference(values, groups)
        assert interval.low is not None
        assert interval.high is not None
        assert interval.high - interval.low > 0.05


# ---- tests and verdicts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "c"), [(1, 0), (6, 0), (12, 2), (30, 31), (200, 150)])
def test_p_of_single_pairs_is_mcnemars_and_touches_zero_with_its_interval(b: int, c: int) -> None:
    found = paired(pairs(b, c, b + c + 17), names(b + c + 17))
    expected = mcnemar([[17, b], [c, 0]], exact=False, correction=False).pvalue
    assert found.p_value == pytest.approx(expected, abs=1e-8)
    limits = found.interval(found.p_value)
    assert limits is not None
    assert min(abs(limits[0]), abs(limits[1])) == pytest.approx(0, abs=1e-6)


def test_p_of_clustered_and_graded_pairs_touches_zero_with_their_interval() -> None:
    rng = np.random.default_rng(5)
    for values in (rng.choice([1.0, 0.0, 0.0, -1.0, 1.0], 120), rng.normal(0.1, 0.2, 120).clip(-1, 1)):
        found = paired(values, names(120, 4))
        limits = found.interval(found.p_value)
        assert limits is not None
        assert min(abs(limits[0]), abs(limits[1])) == pytest.approx(0, abs=1e-6)


IN, OUT, HIGH, LOW = (-0.02, 0.02), (-0.2, 0.3), (0.01, 0.2), (-0.2, -0.01)


@pytest.mark.parametrize(
    ("evidence", "up", "verdict"),
    [
        (Evidence(LOW, OUT), 1, "worse"),  # nothing is adjusted for a harm
        (Evidence(HIGH, OUT), -1, "worse"),
        (Evidence(HIGH, HIGH), 1, "improved"),
        (Evidence(HIGH, OUT), 1, "not known"),
        (Evidence(LOW, LOW, [OUT], [OUT]), 1, "not known"),
        (Evidence(HIGH, HIGH, [HIGH], [OUT]), 1, "not known"),
        (Evidence(IN, OUT, [OUT], [OUT], [IN, IN]), 1, "no material change"),  # missing alike on both sides
        (Evidence(IN, OUT, [OUT], [OUT], [IN, OUT]), 1, "not known"),
        (Evidence(OUT, OUT), 1, "not known"),
    ],
)
def test_the_rule_of_verdicts(evidence: Evidence, up: int, verdict: str) -> None:
    assert decide(evidence, up=up, margin=0.05) == verdict


def test_claims_are_adjusted_in_one_step() -> None:
    assert (claim_level(1), claim_level(4)) == (0.05, 0.0125)
    assert (adjusted(0.01, 4), adjusted(0.6, 4), adjusted(None, 4)) == (0.04, 1.0, None)


def test_few_moved_clusters_count_as_one_each() -> None:
    values = np.zeros(400)
    values[:10] = 1.0
    found = clusters(values, names(400, 10))
    assert found.moved == 1
    assert found.size(0.02, capped=True) <= 40


# ---- estimates ----------------------------------------------------------------------------------------------------


def test_unscored_values_are_counted_and_not_averaged() -> None:
    rate = estimate([1.0, None, 0.0, None, 1.0], ["a", "b", "c", "d", "e"])
    assert (rate.value, rate.n, rate.clusters, rate.unscored) == (pytest.approx(2 / 3), 3, 3, 2)
    nothing = estimate([None, None], ["a", "b"])
    assert (nothing.value, nothing.low, nothing.high, nothing.n, nothing.unscored) == (None, None, None, 0, 2)
    assert nothing.method == "nothing scored"
