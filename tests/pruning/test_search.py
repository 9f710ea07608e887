"""The search: never worse than where it begins, the same by seed, and within what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import multiprocessing
from torch.utils.data import DataLoader
from toy_chain import toy
from toy_job import Clips, found_by_searching, search_share

from vitprune.importance import Unit, jsd, units_of
from vitprune.models.dropping import drop_units
from vitprune.models.unit import SCOPES, outermost
from vitprune.pruning.by_cost import leaves_a_layer
from vitprune.pruning.search import Candidate, Outcome, outcomes, search, swaps
from vitprune.pruning.unit_costs import unit_costs

MODEL = toy()
CLIPS = DataLoader(Clips(6), batch_size=4)
SAVED = {unit: cost.flops for unit, cost in unit_costs(MODEL, Clips(1)[0]["clips"]).items()}


def at_least(saved: float) -> Callable[[Sequence[Unit]], bool]:
    """Whether units save so many FLOPs."""
    return lambda units: sum(SAVED[unit] for unit in outermost([*units], SAVED)) >= saved


def evaluate(sets: Sequence[Candidate]) -> list[Outcome]:
    return outcomes(MODEL, CLIPS, sets)


def test_outcomes_are_those_of_the_smaller_models() -> None:
    sets = [frozenset({Unit(1)}), frozenset({Unit(2, "mlp"), Unit(0, number=1)})]
    batch = next(iter(DataLoader(Clips(6), batch_size=6)))
    clips, labels = batch["clips"][:, 0], batch["label"]
    # A clip that comes again counts once.
    found = outcomes(MODEL, [*CLIPS, *DataLoader(Clips(1))], sets)
    with torch.no_grad():
        full = MODEL(clips)
        for units, outcome in zip(sets, found, strict=True):
            smaller = drop_units(MODEL, sorted(units))(clips)
            assert outcome.divergence == pytest.approx(jsd(full, smaller).mean().item(), abs=1e-9)
            lost = {
                c: 100 * np.mean([
                    float(full[i].argmax() == c) - float(smaller[i].argmax() == c)
                    for i in range(6) if labels[i] == c
                ])
                for c in labels.tolist()
            }  # fmt: skip
            assert outcome.loss == pytest.approx(max(lost.values()))
            assert lost[outcome.label] == max(lost.values())


@pytest.mark.parametrize("scope", ["layer", "any"])
def test_it_ends_no_worse_than_it_begins_and_the_same_by_seed(scope: str) -> None:
    units = units_of(MODEL, scope)
    start = [Unit(0), Unit(3)]
    vary = swaps(units, at_least(sum(SAVED[unit] for unit in start)))

    def found(seed: int) -> list[tuple[Candidate, Outcome]]:
        return [*search(start, vary, evaluate, candidates=4, rounds=3, seed=seed).outcomes.items()]

    first = found(0)
    assert found(0) == first
    assert [units for units, _ in found(1)] != [units for units, _ in first]
    outcome = dict(first)
    assert first[0][1].divergence < outcome[frozenset(start)].divergence
    assert [out.divergence for _, out in first] == sorted(out.divergence for _, out in first)
    assert 1 < len(first) <= 1 + 4 * 3
    for candidate in outcome:
        assert at_least(sum(SAVED[unit] for unit in start))(sorted(candidate))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([*SCOPES, "any"]), st.floats(0.05, 0.9), st.integers(0, 10**6))
def test_swaps_drop_enough_nothing_twice_and_leave_a_layer(
    scope: str, share: float, seed: int
) -> None:
    units = units_of(MODEL, scope)
    enough = at_least(share * sum(SAVED[unit] for unit in outermost(units, units)))
    draw = np.random.default_rng(seed)
    candidate = swaps(units, enough)(frozenset(units[:1]), draw)
    if candidate is None:  # what the last layer saves is needed, too
        return
    assert enough(sorted(candidate))
    assert leaves_a_layer(sorted(candidate), units)
    assert {*outermost(sorted(candidate), units)} == candidate
    for unit in candidate:
        assert not enough(sorted(candidate - {unit}))


def made_up(loss: dict[int, float], divergence: dict[int, float]) -> Callable[..., list[Outcome]]:
    """Outcomes of dropping one layer."""
    return lambda sets: [
        Outcome(divergence[unit.layer], loss[unit.layer], 0) for (unit,) in map(sorted, sets)
    ]


def test_of_what_loses_no_class_too_much_the_least_divergence_is_first() -> None:
    losses = {0: 40.0, 1: 5.0, 2: 0.0, 3: 20.0, 4: 5.5}
    evaluate = made_up(losses, {0: 0.1, 1: 0.3, 2: 0.4, 3: 0.2, 4: 0.1})
    vary = swaps([Unit(layer) for layer in losses], lambda units: len(units) >= 1)

    def order(most_loss: float | None) -> tuple[list[int], int]:
        found = search(
            [Unit(0)], vary, evaluate, candidates=4, rounds=4, seed=0, most_loss=most_loss
        )
        return [unit.layer for (unit,) in map(sorted, found.outcomes)], len(found.admissible())

    assert order(None) == ([0, 4, 3, 1, 2], 5)
    assert order(5.0) == ([1, 2, 4, 3, 0], 2)
    # Where none is admissible, the least loss is first: what can be reached.
    losses[2] = 1.0
    assert order(0.5) == ([2, 1, 4, 3, 0], 0)


def test_it_stops_where_no_other_candidate_is() -> None:
    rounds = []

    def evaluate(sets: Sequence[Candidate]) -> list[Outcome]:
        rounds.append(len(sets))
        return [Outcome(0.0, 0.0, 0) for _ in sets]

    units = [Unit(layer) for layer in range(3)]
    vary = swaps(units, lambda units: len(units) >= 1)
    found = search(units[:1], vary, evaluate, candidates=5, rounds=9, seed=0)
    assert rounds == [1, 2]
    assert found.start == frozenset(units[:1]) == next(iter(found.outcomes))


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    # Forked, because importing torch anew takes longer than all the rest.
    args = (2, f"{tmp_path}/rendezvous", str(tmp_path))
    multiprocessing.start_processes(search_share, args, nprocs=2, start_method="fork")
    alone = found_by_searching([*CLIPS])
    for rank in (0, 1):
        assert (tmp_path / f"{rank}.txt").read_text() == alone
