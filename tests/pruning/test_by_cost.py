"""Units of all kinds by what they save: units within units, and what is left after others."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_chain import CLIP, toy

from vitprune.importance import Unit, ablate_together, units_of
from vitprune.models.dropping import drop_units
from vitprune.models.unit import SCOPES, outermost
from vitprune.pruning.by_cost import by_cost, by_price, leaves_a_layer, remaining
from vitprune.pruning.unit_costs import unit_costs

MODEL = toy()
CLIPS = torch.randn(2, *CLIP, generator=torch.Generator().manual_seed(0))
UNITS = units_of(MODEL, "any")
SAVED = {unit: float(cost.flops) for unit, cost in unit_costs(MODEL, CLIPS[:1]).items()}
relevances = st.lists(st.floats(-0.2, 1), min_size=len(UNITS), max_size=len(UNITS)).map(
    lambda values: dict(zip(UNITS, values, strict=True))
)
directions = st.sampled_from(["lowest", "highest"])


@settings(deadline=None, max_examples=60)
@given(relevances, directions)
def test_what_lies_in_a_unit_that_went_is_out(relevance: dict[Unit, float], direction: str) -> None:
    order = by_cost(relevance, SAVED, direction)
    assert len({*order}) == len(order)
    for place, unit in enumerate(order):
        assert {*order[:place]}.isdisjoint(unit.within)
    assert leaves_a_layer(order, UNITS)
    # As much goes as can: no part is left, and no layer that would save anything but one.
    left = remaining(SAVED, units_of(drop_units(MODEL, order), "any"))
    assert all(unit.number is None for unit in left)
    assert sum(saved > 1e-6 for unit, saved in left.items() if unit.scope == "layer") <= 1


@settings(deadline=None, max_examples=25)
@given(relevances, directions, st.integers(1, 30))
def test_the_outermost_units_are_what_is_dropped_and_drop_as_they_are_ablated(
    relevance: dict[Unit, float], direction: str, count: int
) -> None:
    beginning = by_cost(relevance, SAVED, direction)[:count]
    outer = outermost(beginning, UNITS)
    assert all({*outer}.isdisjoint(unit.within) for unit in outer)
    smaller = drop_units(MODEL, outer)
    assert sorted(outer) == [*smaller.dropped] == [*drop_units(MODEL, beginning).dropped]
    with torch.no_grad():
        torch.testing.assert_close(smaller(CLIPS), ablate_together(MODEL, CLIPS, outer))


def test_the_last_part_of_a_branch_saves_as_much_as_beside_the_others() -> None:
    # The residual path of this branch costs something, too, and is gone through once.
    last = Unit(3, "mlp", 7)
    others = [Unit(3, "mlp", number) for number in range(7)]
    smaller = drop_units(MODEL, ["0", "1", "2", "4", "3.attention", *others])
    assert unit_costs(smaller, CLIPS[:1])[last].flops == SAVED[last]


@settings(deadline=None, max_examples=25)
@given(relevances, st.integers(1, 30))
def test_what_is_left_to_save_is_what_the_smaller_model_can_save(
    relevance: dict[Unit, float], count: int
) -> None:
    smaller = drop_units(MODEL, by_cost(relevance, SAVED)[:count])
    expected = {unit: cost.flops for unit, cost in unit_costs(smaller, CLIPS[:1]).items()}
    assert remaining(SAVED, [*expected]) == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(relevances, st.sampled_from(SCOPES), directions)
def test_where_all_save_the_same_relevance_alone_decides(
    relevance: dict[Unit, float], scope: str, direction: str
) -> None:
    units = units_of(MODEL, scope)
    # Rounded, so that they differ by more than what dividing them does.
    own = {unit: round(relevance[unit], 6) for unit in units}
    sign = 1 if direction == "lowest" else -1
    expected = sorted(units, key=lambda unit: sign * own[unit])
    assert by_price(own, dict.fromkeys(units, 7.0), direction) == expected
    assert by_cost(own, dict.fromkeys(units, 7.0), direction) == expected[:-1]


@pytest.mark.parametrize("relevance", [0.3, 0.0, -0.1])
def test_of_equally_relevant_units_the_one_that_saves_more_goes_first(relevance: float) -> None:
    units = units_of(MODEL, "mlp")
    saved = {unit: SAVED[unit] for unit in units}
    order = by_cost(dict.fromkeys(units, relevance), saved)
    if relevance:
        assert order == sorted(units, key=lambda unit: -saved[unit])[:-1]
    else:
        assert order == units[:-1]


def test_a_larger_unit_costs_what_its_parts_that_went_do_not() -> None:
    head, attention, mlp = Unit(0, number=1), Unit(0, "attention"), Unit(0, "mlp")
    layer, other = Unit(0), Unit(1)
    saved = {head: 2.0, attention: 10.0, mlp: 10.0, layer: 20.0, other: 20.0}
    relevance = {head: 0.01, attention: 0.9, mlp: 0.2, layer: 0.21, other: 0.5}
    # The layer adds nothing to its MLP and its head, and saves 8 more.
    assert by_cost(relevance, saved) == [head, layer]
    relevance[layer] = 0.6
    assert by_cost(relevance, saved) == [head, mlp, other]


def test_what_saves_nothing_stays() -> None:
    units = [Unit(layer) for layer in range(4)]
    saved = dict(zip(units, (1.0, 0.0, 1.0, 1.0), strict=True))
    order = by_cost(dict(zip(units, (0.3, -1.0, 0.1, 0.2), strict=True)), saved)
    assert order == [units[2], units[3], units[0]]
