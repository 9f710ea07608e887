"""Choices all at once and in turns, random ones, and the logits of many sets of dropped layers."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from vitprune.importance import Scores, Unit, ablate_sets, ablate_together, units_of
from vitprune.models import VideoTransformer, build_model
from vitprune.pruning import choose, drop_layers, random_orders

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")


def model_and_clips(name: str = "mvit") -> tuple[VideoTransformer, torch.Tensor]:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=5, num_frames=4, image_size=32).eval()
    return model, torch.randn(2, 3, 4, 32, 32)


def scores_of(values: dict[int, float]) -> Scores:
    """Scores of one clip by a single made-up measure."""
    return Scores(
        [Unit(layer) for layer in values],
        clips=np.arange(1),
        labels=np.zeros(1, dtype=int),
        predicted=np.zeros(1, dtype=int),
        values={"made-up": np.array([list(values.values())])},
    )


def by_value(scores: Scores) -> Sequence[Unit]:
    return scores.rank("made-up")


def layers(units: Sequence[Unit]) -> list[int]:
    return [unit.layer for unit in units]


def test_greedy_scores_what_is_left_again() -> None:
    model, _ = model_and_clips()
    seen = []

    def score(model: VideoTransformer) -> Scores:
        seen.append(layers(model.dropped))
        # once 3 is gone, 2 matters more than anything
        return scores_of({u.layer: 99.0 if u.layer == 2 and 3 not in model.layers
                          else abs(u.layer - 3) for u in units_of(model)})  # fmt: skip

    assert layers(choose(model, 3, score, by_value).dropped) == [3, 2, 4]
    plan = choose(model, 3, score, by_value, at_once=1)
    assert layers(plan.dropped) == [3, 4, 1]
    assert seen == [[], [], [3], [3, 4]]
    assert len(plan.scores.units) == 16
    assert model.dropped == ()


def test_between_two_scorings_go_as_many_as_are_asked_for() -> None:
    model, _ = model_and_clips()
    seen = []

    def score(model: VideoTransformer) -> Scores:
        seen.append(layers(model.dropped))
        return scores_of({u.layer: abs(u.layer - 3.2) for u in units_of(model)})

    assert layers(choose(model, 5, score, by_value, at_once=2).dropped) == [3, 4, 2, 5, 1]
    assert seen == [[], [3, 4], [2, 3, 4, 5]]
    assert layers(choose(model, 2, score, by_value, at_once=9).dropped) == [3, 4]
    assert len(seen) == 4


def test_of_units_within_units_as_many_go_as_are_not_part_of_each_other() -> None:
    model, _ = model_and_clips()
    order = [Unit(3, "mlp", 1), Unit(3, "mlp"), Unit(5), Unit(3), Unit(6), Unit(7)]

    def score(model: VideoTransformer) -> Scores:
        there = [unit for unit in order if unit in set(units_of(model, "any"))]
        values = np.arange(len(there), dtype=float)[None]
        none = np.zeros(1, dtype=int)
        return Scores(there, clips=none, labels=none, predicted=none, values={"made-up": values})

    for at_once in (None, 1, 2):
        for k, count in ((1, 1), (2, 3), (3, 5), (4, 6), (9, 6)):
            plan = choose(model, k, score, by_value, at_once=at_once)
            assert plan.dropped == tuple(order[:count])


@pytest.mark.parametrize("name", NAMES)
def test_sets_give_the_logits_of_the_dropped_models(name: str) -> None:
    model, clips = model_and_clips(name)
    sets = [(), (1,), (1, 2), (1, 2, 11), (0, 3), (11, 10), (1, 2), tuple(model.layers[1:])]
    found = ablate_sets(model, clips, sets)
    with torch.no_grad():
        for layers, logits in zip(sets, found, strict=True):
            smaller = drop_layers(model, layers) if layers else model
            torch.testing.assert_close(logits, smaller(clips), rtol=0, atol=1e-5)
            torch.testing.assert_close(ablate_together(model, clips, layers), logits)


@pytest.mark.parametrize("name", NAMES)
def test_sets_that_go_on_in_halves_give_the_same_logits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clips = model_and_clips(name)
    orders = random_orders(model.layers, draws=3, seed=0)
    sets = [order[:n] for order in orders for n in range(len(order) + 1)]
    together = ablate_sets(model, clips, sets)
    for most in (0, 2**18):
        monkeypatch.setattr("vitprune.importance.engine.TOGETHER", most)
        torch.testing.assert_close(ablate_sets(model, clips, sets), together, rtol=0, atol=1e-5)


def test_sets_of_a_pruned_model_keep_their_numbers() -> None:
    model, clips = model_and_clips()
    pruned = drop_layers(model, [0, 3])
    (found,) = ablate_sets(pruned, clips, [(5,)])
    torch.testing.assert_close(found, ablate_together(model, clips, [0, 3, 5]), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="no layer"):
        ablate_sets(pruned, clips, [(3,)])


def test_random_orders_are_seeded_draws_without_repeats() -> None:
    orders = random_orders(range(12), draws=4, seed=1)
    assert orders == random_orders(range(12), draws=4, seed=1)
    assert orders != random_orders(range(12), draws=4, seed=2)
    assert [len(set(order)) for order in orders] == [11] * 4
