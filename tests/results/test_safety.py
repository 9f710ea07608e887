"""What a smaller model costs whom."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitprune.results.safety import Change, Flip, SafetyCard, changes
from vitprune.results.statistics import holm, mcnemar


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.booleans(), st.booleans())).filter(
        lambda rows: any(name for name, *_ in rows)
    )
)
def test_every_group_is_counted_by_itself(rows: list[tuple[str, bool, bool]]) -> None:
    names, before, after = ([row[i] for row in rows] for i in range(3))
    found = changes(names, np.array(before, bool), np.array(after, bool))
    assert {one.name for one in found} == {*names} - {""}
    for one in found:
        own = [(b, a) for name, b, a in rows if name == one.name]
        assert one.videos == len(own)
        assert one.full == pytest.approx(sum(b for b, _ in own) / len(own))
        assert one.smaller == pytest.approx(sum(a for _, a in own) / len(own))
        assert (one.right_to_wrong, one.wrong_to_right) == (
            own.count((True, False)), own.count((False, True)),
        )  # fmt: skip
        assert one.p_value == mcnemar(one.right_to_wrong, one.wrong_to_right)
        assert one.points == pytest.approx(
            100 * (one.wrong_to_right - one.right_to_wrong) / one.videos
        )
    assert [one.points for one in found] == sorted(one.points for one in found)


def test_tests_are_corrected_for_all_groups_of_a_kind() -> None:
    lost = {"a": 9, "b": 7, "c": 2, "d": 0}
    names = [name for name in lost for _ in range(10)]
    after = [i >= count for count in lost.values() for i in range(10)]
    found = {one.name: one for one in changes(names, np.ones(40, bool), np.array(after))}
    p_values = [mcnemar(count, 0) for count in lost.values()]
    assert [found[name].p_holm for name in lost] == pytest.approx(holm(p_values))
    assert found["a"].p_holm == pytest.approx(4 * 2 / 2**9)
    assert list(found) == ["a", "b", "c", "d"]


def card(**points: float) -> SafetyCard:
    """A card of classes of 20 videos that lose or win so many points."""
    classes = [Change(name, 20, 0.9, 0.9 + x / 100, 3, 1, 0.6, 1.0) for name, x in points.items()]
    return SafetyCard({"class": classes}, [Flip("v", "a", "b")], {"full": 0.02, "smaller": 0.1})


def test_classes_that_lost_more_than_that_are_named() -> None:
    found = card(drink=-10, phone=-5, text=-5.5, wheel=15)
    assert [one.name for one in found.lost()] == ["drink", "text"]
    assert [one.name for one in found.lost(8)] == ["drink"]
    assert found.plain()["lost"] == ["drink", "text"]
    assert SafetyCard({}, [], {}).lost() == []


def test_it_is_read_again_from_json() -> None:
    found = card(drink=-10, phone=2)
    assert SafetyCard.read(json.loads(json.dumps(found.plain()))) == found
