"""What is made of the candidates of a search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitprune.errors import InputError
from vitprune.importance import Scores, Unit
from vitprune.pruning import Plan
from vitprune.pruning.budget import Budget
from vitprune.pruning.search import Found, Outcome
from vitprune.tasks.searching import searched

START, BETTER, BEST = (frozenset({Unit(layer)}) for layer in (3, 1, 2))


def search(losses: tuple[float, float, float], keeping: set[Unit], most: float | None) -> Any:
    """The end of a search that came by three candidates, of which some keep to the budget."""
    order = dict(zip((BEST, BETTER, START), losses, strict=True))
    found = Found(
        {one: Outcome(0.1, loss, 1) for one, loss in order.items()}, start=START, most_loss=most
    )
    none = np.zeros(1, dtype=int)
    scores = Scores([Unit(layer) for layer in range(4)], clips=none, labels=none, predicted=none,
                    values={"random": np.zeros((1, 4))})  # fmt: skip
    goal: Any = SimpleNamespace(
        enough=lambda start: None,
        keeps=lambda units: {*units} <= keeping,
        budget=Budget(latency_ms=4),
    )
    run: Any = SimpleNamespace(at_work=lambda model, work: found)
    scoring: Any = SimpleNamespace(data=SimpleNamespace(class_names=["texting", "eating"]))
    cfg: Any = SimpleNamespace(max_class_loss=most)
    full: Any = None
    plan = Plan(tuple(START), scores)
    return searched(cfg, run, scoring, full, goal, plan, scores.units)


@pytest.mark.parametrize(
    ("keeping", "most", "expected"),
    [
        ({Unit(1), Unit(2)}, None, BEST),
        ({Unit(1)}, None, BETTER),
        (set(), None, START),
        ({Unit(1), Unit(2)}, 20.0, BETTER),
    ],
)
def test_the_best_one_is_taken_that_really_keeps_to_everything(
    keeping: set[Unit], most: float | None, expected: frozenset[Unit]
) -> None:
    plan, told = search((30.0, 20.0, 10.0), keeping, most)
    assert {*plan.dropped} == expected
    loss = {BEST: 30.0, BETTER: 20.0, START: 10.0}[expected]
    assert told == {
        "evaluated": 3,
        "divergence": {"start": 0.1, "found": 0.1},
        "class_loss": {"start": 10.0, "found": loss},
    }


def test_what_cannot_be_reached_is_refused_with_what_can() -> None:
    line = (
        "max_class_loss=5 cannot be kept: of 3 sets of units the best one costs eating 12.5 points "
        "of recall$"
    )
    with pytest.raises(InputError, match=line):
        search((12.5, 20.0, 30.0), {Unit(2)}, 5.0)
    with pytest.raises(InputError, match=r"none that keeps it keeps to budget.latency_ms=4"):
        search((4.0, 20.0, 30.0), set(), 5.0)
