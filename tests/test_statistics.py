"""Statistics against their definitions and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap

from vitprune.statistics import bootstrap_interval, bootstrap_intervals, holm, jaccard, mcnemar


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


def test_the_interval_of_a_constant_has_no_width_and_of_nothing_does_not_exist() -> None:
    assert bootstrap_interval([1.0] * 7) == (1.0, 1.0)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])


def test_jaccard() -> None:
    assert jaccard([1, 2, 3], [3, 2, 4]) == 0.5
    assert jaccard([1], [2]) == 0
    assert jaccard([], []) == 1


def test_intervals_cover_and_leave_out_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(100):
        found = bootstrap_intervals(rng.normal(1.0, 1.0, (40, 1)), resamples=300, seed=seed)
        covered.append(found.low[0] <= 1.0 <= found.high[0])
    assert 0.86 <= np.mean(covered) <= 1.0
    values = np.array([[1.0, np.nan, np.nan], [3.0, np.nan, 2.0]])
    found = bootstrap_intervals(values)
    np.testing.assert_allclose(found.mean, [2.0, np.nan, 2.0])
    np.testing.assert_allclose([found.low[0], found.high[0]], [1.0, 3.0])
    assert np.isnan(found.low[1])
    assert found.low[2] == found.high[2] == 2.0
