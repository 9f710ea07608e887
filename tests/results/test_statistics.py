"""Statistics against their definitions and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap, norm

from vitprune.results.statistics import (
    bootstrap_interval,
    bootstrap_intervals,
    holm,
    jaccard,
    mcnemar,
    proportion_interval,
)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_tail(worse: int, better: int) -> None:
    n = worse + better
    tail = 2 * binom.cdf(min(worse, better), n, 0.5)
    assert mcnemar(worse, better) == pytest.approx(min(1.0, tail))
    assert mcnemar(worse, better) == pytest.approx(mcnemar(better, worse))


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_raw_values_and_bonferroni(p_values: list[float]) -> None:
    corrected = np.array(holm(p_values))
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, len(p_values) * np.array(p_values)) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_the_interval_is_the_one_of_drawing_videos(share: float) -> None:
    hits = np.arange(200) < share * 200
    low, high = bootstrap_interval(hits, seed=1)
    slow = bootstrap(
        (hits,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (low, high) == pytest.approx((slow.low, slow.high), abs=0.012)
    assert low < share < high
    assert bootstrap_interval(hits, seed=1) == (low, high)


def test_nothing_is_said_where_no_value_differs_or_none_is_there() -> None:
    assert np.isnan(bootstrap_interval([1.0] * 7)).all()
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_proportion_is_wilsons(counts: tuple[int, int]) -> None:
    hits, total = counts
    low, high = proportion_interval(hits, total)
    for end in (low, high):  # where a normal test with the end's own deviation turns
        if 0 < end < 1:
            z = (hits / total - end) / np.sqrt(end * (1 - end) / total)
            assert abs(z) == pytest.approx(norm.ppf(0.975), rel=1e-6)
    assert 0 <= low <= hits / total <= high <= 1
    assert low < high


def test_all_right_is_no_certainty() -> None:
    assert proportion_interval(72, 72) == pytest.approx((0.9493, 1.0), abs=1e-4)
    assert proportion_interval(0, 72) == pytest.approx((0.0, 0.0507), abs=1e-4)


def test_jaccard() -> None:
    assert jaccard([1, 2, 3], [3, 2, 4]) == 0.5
    assert jaccard([1], [2]) == 0
    assert jaccard([], []) == 1


def test_intervals_cover_and_leave_out_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(100):
        found = bootstrap_intervals(rng.normal(1.0, 1.0, (40, 1)), seed=seed)
        covered.append(found.low[0] <= 1.0 <= found.high[0])
    assert 0.86 <= np.mean(covered) <= 1.0
    values = np.array([[1.0, np.nan, np.nan], [3.0, np.nan, 2.0]])
    found = bootstrap_intervals(values)
    np.testing.assert_allclose(found.mean, [2.0, np.nan, 2.0])
    np.testing.assert_allclose([found.low[0], found.high[0]], [1.0, 3.0])
    assert np.isnan([*found.low[1:], *found.high[1:]]).all()  # of no value, and of one


def test_many_columns_at_once_are_as_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    whole = bootstrap_intervals(values)
    for i in range(3):
        alone = bootstrap_interval(values[:, i])
        assert (whole.low[i], whole.high[i]) == pytest.approx(alone, abs=0.02)
    monkeypatch.setattr("vitprune.results.statistics.CHUNK", 1000)  # many rows are drawn bit by bit
    parts = bootstrap_intervals(values)
    np.testing.assert_allclose(parts.low, whole.low, rtol=1e-12)
    np.testing.assert_allclose(parts.high, whole.high, rtol=1e-12)
