"""The fewest units to drop so that a model keeps to a budget."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_chain import CLIP, toy

from vitprune.errors import InputError
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.unit import Unit
from vitprune.pruning import budget as module
from vitprune.pruning.budget import Budget, Fit, fewest
from vitprune.pruning.cost import Cost, counted
from vitprune.pruning.unit_costs import unit_costs

CLIP_OF_ONE = torch.randn(1, *CLIP)
ORDER = [Unit(layer) for layer in (3, 0, 4, 1)]


FULL = replace(counted(toy(), CLIP_OF_ONE), latency_ms=60.0)
SAVED = {
    unit: replace(cost, latency_ms=10.0) for unit, cost in unit_costs(toy(), CLIP_OF_ONE).items()
}
"""Of each unit 10 ms."""


def without(model: VideoTransformer) -> Callable[[int], VideoTransformer]:
    return lambda k: drop_units(model, ORDER[:k]) if k else model


@functools.cache
def costs_without() -> list[Cost]:
    """What the toy costs without its first 0, 1, ... 4 units."""
    smaller = without(toy())
    return [counted(smaller(k), CLIP_OF_ONE) for k in range(5)]


@settings(deadline=None, max_examples=25)
@given(
    st.fixed_dictionaries({}, optional={
        "flops": st.floats(0.05, 1), "parameters": st.floats(0.05, 1),
        "megabytes": st.floats(0.002, 0.1),
    })
)  # fmt: skip
def test_no_fewer_units_would_do(limits: dict[str, float]) -> None:
    model = toy()
    smaller, budget = without(model), Budget(**limits)
    full, *_ = every = costs_without()
    fits = [not budget.exceeded(cost, full) for cost in every]
    if not any(fits):
        with pytest.raises(InputError, match="cannot be reached: without all 4 units"):
            fewest(model, ORDER, smaller, FULL, SAVED, budget, CLIP_OF_ONE)
        return
    found = fewest(model, ORDER, smaller, FULL, SAVED, budget, CLIP_OF_ONE)
    assert found.k == fits.index(True)
    told = found.described(budget)
    assert told["limits"] == limits
    assert all(told["spent"][name] <= limits[name] for name in limits)
    assert "predicted_ms" not in told


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Milliseconds of the toy by how many layers it has; what each layer takes is predicted as 10,
    besides 5 of what is no layer."""
    real = {5: 60.0, 4: 47.0, 3: 38.0, 2: 26.0, 1: 16.0}

    monkeypatch.setattr(
        module, "latencies", lambda models, *_, **__: [real[len(m.layers)] for m in models]
    )
    return real


@pytest.mark.parametrize(
    ("limits", "k"),
    [
        ({"latency_ms": 60}, 0),
        ({"latency_ms": 47}, 1),  # predicted as 50, so that 2 are tried first
        ({"latency_ms": 45}, 2),
        ({"latency_ms": 30}, 3),
        ({"latency": 0.5}, 3),
        ({"latency": 0.75, "latency_ms": 30}, 3),
        ({"latency_ms": 59, "flops": 0.45}, 3),
        ({"latency_ms": 16}, 4),
    ],
)
def test_what_is_measured_decides_not_what_is_predicted(
    limits: dict[str, float], k: int, timed: dict[int, float]
) -> None:
    model, budget = toy(), Budget(**limits)
    found = fewest(model, ORDER, without(model), FULL, SAVED, budget, CLIP_OF_ONE)
    assert found.k == k
    assert found.cost.latency_ms == timed[5 - k]
    assert found.predicted_ms == 60 - 10 * k
    assert not budget.exceeded(found.cost, found.full)


def test_a_moment_in_which_the_machine_does_other_things_costs_no_units(
    timed: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = module.latencies
    disturbed = {3: 2.0, 2: 2.0}  # models of so many layers, the first time

    def noisy(models: Sequence[VideoTransformer], *_: object, **__: object) -> list[float]:
        full, own = calm(models, CLIP_OF_ONE)
        return [full, own * disturbed.pop(len(models[1].layers), 1.0)]

    monkeypatch.setattr(module, "latencies", noisy)
    model = toy()
    found = fewest(model, ORDER, without(model), FULL, SAVED, Budget(latency_ms=40), CLIP_OF_ONE)
    assert not disturbed
    assert found.k == 2
    assert found.cost.latency_ms == timed[3]


def test_a_latency_that_cannot_be_reached_is_refused_with_what_can(
    timed: dict[int, float],
) -> None:
    model = toy()
    line = (
        r"budget.latency_ms=15 cannot be reached: without all 4 units that can go it is 16; "
        r"what can be reached: budget.latency_ms=16"
    )
    with pytest.raises(InputError, match=line):
        fewest(model, ORDER, without(model), FULL, SAVED, Budget(latency_ms=15), CLIP_OF_ONE)


one_toy = functools.cache(toy)


@given(st.floats(0.2, 5), st.floats(0.05, 0.95), st.integers(1, 300))
def test_few_tries_find_it_however_wrong_the_prediction_is(
    power: float, limit: float, units: int
) -> None:
    """Latency falls as ``k ** power``; what is predicted is that every unit saves as much."""
    model, order = one_toy(), [Unit(0, "", number) for number in range(units)]
    saved = dict.fromkeys(order, replace(FULL, latency_ms=FULL.latency_ms / units))
    tries = []

    def real(k: int) -> float:
        return FULL.latency_ms * (1 - (k / units) ** power)

    def measured(model: VideoTransformer, smaller: object, k: int, *_: object, **__: object) -> Fit:
        tries.append(k)
        return Fit(k, replace(FULL, latency_ms=real(k)), FULL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measured", measured)
        found = fewest(
            model, order, lambda _: model, FULL, saved, Budget(latency=limit), CLIP_OF_ONE
        )
    assert found.k == next(k for k in range(units + 1) if real(k) <= limit * FULL.latency_ms)
    assert len(tries) <= 14
