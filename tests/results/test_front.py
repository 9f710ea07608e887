"""Which models are worth having: those that no other one dominates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitprune.results.front import FULL, Front, Measured, Point, Way, non_dominated
from vitprune.results.statistics import mcnemar

Pairs = list[tuple[float, float]]
FEW = st.integers(0, 6).map(float)  # so that some are alike
PAIRS = st.lists(st.tuples(FEW, FEW) | st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=30)


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(PAIRS)
def test_no_point_dominates_one_of_the_front_and_one_of_the_front_every_other(pairs: Pairs) -> None:
    front = [pairs[i] for i in non_dominated(pairs)]
    assert not any(dominates(one, other) for one in pairs for other in front)
    assert front == sorted(set(front))
    for pair in pairs:
        assert pair in front or any(dominates(one, pair) for one in front)


def test_the_front_of_some_points() -> None:
    points = [(3, 90.0), (1, 50.0), (2, 90.0), (4, 95.0), (5, 94.0), (1, 40.0)]
    assert non_dominated(points) == [1, 2, 3]
    assert non_dominated([]) == []


def test_a_point_of_one_seed_has_wilsons_interval_and_of_several_their_spread() -> None:
    one = Measured(0.5, 0.8, 0.9, 40, 5, 1, "5 layers")
    other = Measured(0.7, 0.9, 0.9, 40, 2, 2, "4 layers")
    point = Point(Way("layers", "R"), "k=5", {0: one})
    low, high = point.ends
    assert low < 80 < high
    assert (point.spread, point.size) == (None, "5 layers")
    both = Point(Way("layers", "R"), "k=5", {0: one, 1: other})
    assert (both.share, both.top1, both.change) == pytest.approx((0.6, 85, -5))
    assert both.ends == pytest.approx((85 - 50**0.5, 85 + 50**0.5))
    assert both.p == mcnemar(7, 3)
    assert both.size == "5 layers, 4 layers"


def test_the_table_says_of_every_point_whether_it_is_on_the_front() -> None:
    def point(what: str, share: float, top1: float, *sides: int) -> Point:
        return Point(Way(what, "R"), what, {0: Measured(share, top1, 0.9, 40, *sides)})

    full = Point(Way(FULL), "", {0: Measured(1.0, 0.9, 0.9, 40)})
    points = [full, point("slow", 0.9, 0.5, 16, 0), point("good", 0.5, 0.85, 4, 2)]
    front = Front("mvit", "dai", "MViT on DAI", 20.0, points, {})
    assert [p.way.what for p in front.best] == ["good", FULL]
    assert front.p_holm() == [mcnemar(4, 2), None]
    table = front.table()
    assert table["way"].tolist() == ["good by R", "slow by R", FULL]
    assert table["front"].tolist() == [True, False, True]
    assert table["latency_ms"].tolist() == [10.0, 18.0, 20.0]


def test_latencies_that_differ_by_less_than_a_percent_are_the_same() -> None:
    def point(what: str, share: float, top1: float) -> Point:
        return Point(Way(what, "R"), what, {0: Measured(share, top1, 0.9, 40)})

    points = [point("faster by noise", 0.498, 0.5), point("better", 0.502, 0.8)]
    front = Front("mvit", "dai", "MViT on DAI", 20.0, points, {})
    assert [p.way.what for p in front.best] == ["better"]
