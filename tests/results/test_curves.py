"""Figures of curves against their definitions, and against scipy's bootstrap."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_up_cells import made_up_curves
from scipy.stats import bootstrap

from vitprune.results.curves import (
    SHARES,
    Curves,
    Order,
    compare_curves,
    largest,
    reference_of,
)
from vitprune.results.statistics import RESAMPLES, holm

LAYERS, VIDEOS = 8, 120


@pytest.fixture(scope="module")
def curves() -> Curves:
    return made_up_curves(LAYERS, VIDEOS)


@pytest.fixture(scope="module")
def figures(curves: Curves) -> pd.DataFrame:
    return compare_curves([curves]).set_index(["strategy", "metric"])


def test_prefixes_begin_with_the_full_model() -> None:
    prefixes = Order("R", "oneshot", ("3", "1.mlp")).prefixes()
    assert prefixes == [frozenset(), frozenset({"3"}), frozenset({"3", "1.mlp"})]


def test_what_is_written_is_read_again(curves: Curves, tmp_path) -> None:
    curves.save(tmp_path / "curves.npz")
    again = Curves.load(tmp_path / "curves.npz")
    assert again.ways == curves.ways
    np.testing.assert_array_equal(again.test, curves.test)
    assert again.comparable(curves)


def test_the_table_has_every_order_and_k(curves: Curves) -> None:
    table = curves.table()
    assert len(table) == len(curves.metric) * LAYERS
    row = table[(table["metric"] == "random") & (table["draw"] == 2) & (table["k"] == 3)].iloc[0]
    order = curves.of(("oneshot", "random"))[2]
    assert row["test_top1"] == pytest.approx(curves.test[order, 3].mean())
    assert row["unit"] == curves.units[order, 2]
    assert (table.loc[table["k"] == 0, "unit"] == "").all()


@settings(deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 9)), elements=st.integers(0, 20)),
    st.sampled_from([0.0, 0.5, 0.95, 0.98, 1.0]),
)
def test_the_largest_k_keeps_its_share_and_none_after_it_does(hits, share: float) -> None:
    top1 = hits / 20
    for curve, k in zip(top1, largest(top1, share), strict=True):
        kept = curve >= share * curve[0] - 1e-9
        assert kept[k]
        assert not kept[k + 1 :].any()


def test_the_area_is_the_mean_over_k(curves: Curves, figures: pd.DataFrame) -> None:
    for way in curves.ways:
        mean = 100 * curves.test[curves.of(way)].mean()
        assert figures.loc[way, "area"] == pytest.approx(mean)
    assert figures["full"].nunique() == 1


def test_intervals_are_scipys_paired_bootstrap(curves: Curves, figures: pd.DataFrame) -> None:
    areas = {metric: 100 * curves.test[curves.of(("oneshot", metric))].mean((0, 1))
             for metric in ("R", "JSD", "random")}  # fmt: skip

    def scipys(statistic, *values):
        found = bootstrap(
            values, statistic, paired=True, vectorized=True, method="percentile",
            n_resamples=RESAMPLES, rng=np.random.default_rng(0),  # the same resamples as ours
        )  # fmt: skip
        return pytest.approx(found.confidence_interval, abs=1e-9)

    for metric, values in areas.items():
        row = figures.loc[("oneshot", metric)]
        ends = scipys(lambda x, axis: x.mean(axis), values)
        assert (row["area_low"], row["area_high"]) == ends
    for metric in ("JSD", "random"):
        row = figures.loc[("oneshot", metric)]
        ends = scipys(lambda x, y, axis: (x - y).mean(axis), areas[metric], areas["R"])
        assert (row["change_low"], row["change_high"]) == ends
        assert row["change"] == pytest.approx((areas[metric] - areas["R"]).mean())


def test_k_is_chosen_on_val_and_reported_on_test(curves: Curves, figures: pd.DataFrame) -> None:
    # What the test split says must not matter to the choice, nor the val split to the figure.
    turned = compare_curves([replace(curves, test=curves.test[:, :, ::-1])])
    other = compare_curves([replace(curves, test=~curves.test)])
    pd.testing.assert_series_equal(turned["k98"], other["k98"])
    for way, row in figures.iterrows():
        orders = curves.of(way)
        for share in SHARES:
            name = f"{100 * share:.0f}"
            ks = largest(curves.val[orders].mean(-1), share)
            assert row[f"k{name}"] == pytest.approx(ks.mean())
            assert row[f"k{name}_low"] <= row[f"k{name}_high"]
            top1 = 100 * curves.test[orders, ks].mean()
            assert row[f"top1_{name}"] == pytest.approx(top1)
            assert row[f"kept_{name}"] == pytest.approx(100 * top1 / row["full"])


def test_each_is_compared_with_r_of_its_strategy_and_corrected_by_holm(
    figures: pd.DataFrame,
) -> None:
    assert reference_of(("greedy", "JSD")) == ("greedy", "R")
    assert reference_of(("greedy", "R")) == ("oneshot", "R")
    first = figures.loc[("oneshot", "R")]
    assert first[["p", "p_holm", "change"]].isna().all()
    tested = figures.drop(index=("oneshot", "R"))
    assert tested["p_holm"].tolist() == holm(tested["p"].tolist())
    gone = figures.loc[("oneshot", "random")]
    assert gone["change_high"] < 0
    assert gone["p"] < 0.001


def test_p_and_interval_agree(figures: pd.DataFrame) -> None:
    """The interval leaves out 0 where p is below 5 %, but for ends that touch it."""
    for _, row in figures.drop(index=("oneshot", "R")).iterrows():
        outside = row["change_low"] > 0 or row["change_high"] < 0
        touches = 0 in (row["change_low"], row["change_high"])
        assert outside == (row["p"] < 0.05) or touches or abs(row["p"] - 0.05) < 0.002


def test_the_same_curve_under_another_name_is_not_tested(curves: Curves) -> None:
    test = curves.test.copy()
    test[curves.of(("oneshot", "JSD"))] = test[curves.of(("oneshot", "R"))]
    row = compare_curves([replace(curves, test=test)]).iloc[0]
    assert (row["metric"], row["change"]) == ("JSD", 0)
    assert np.isnan([row["p"], row["p_holm"], row["change_low"]]).all()


def test_seeds_widen_intervals_by_what_they_differ_in(curves: Curves) -> None:
    same = compare_curves([curves, curves])
    once = compare_curves([curves])
    assert (same["area_spread"] == 0).all()
    np.testing.assert_allclose(same["area"], once["area"])
    np.testing.assert_allclose(same["area_low"], once["area_low"])
    # A seed whose models are right about fewer videos, whichever they are.
    worse = replace(curves, test=curves.test & (np.arange(VIDEOS) % 3 > 0))
    both = compare_curves([curves, worse])
    areas = np.array([once["area"], compare_curves([worse])["area"]])
    np.testing.assert_allclose(both["area"], areas.mean(0))
    np.testing.assert_allclose(both["area_spread"], areas.std(0, ddof=1))
    width = both["area_high"] - both["area_low"]
    assert (width > once["area_high"] - once["area_low"]).all()


def test_intervals_over_videos_and_seeds_are_those_of_drawing_both() -> None:
    seeds = [made_up_curves(LAYERS, VIDEOS, seed) for seed in range(3)]
    row = compare_curves(seeds).iloc[0]
    first = [100 * one.test[0].mean(0) for one in seeds]
    rng = np.random.default_rng(3)
    means = [
        np.mean(np.array(first)[rng.integers(3, size=3)][:, rng.integers(VIDEOS, size=VIDEOS)])
        for _ in range(4000)
    ]
    ends = np.quantile(means, (0.025, 0.975))
    assert (row["area_low"], row["area_high"]) == pytest.approx(ends, abs=0.5)


def test_curves_of_other_videos_are_not_averaged(curves: Curves) -> None:
    other = replace(curves, test_videos=curves.test_videos[::-1])
    with pytest.raises(ValueError, match="other videos"):
        compare_curves([curves, other])
