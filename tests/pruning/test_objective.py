"""What a search for the largest k maximises."""

import pytest

from vitprune.pruning.objective import layers_to_spare


def results(k: int, full: float, pruned: float) -> dict[str, object]:
    """Those of a job; on the test split, which the objective must not look at, all is well."""
    test = {"full": {"top1": 1.0}, "pruned": {"top1": 1.0}}
    return {"k": k, "val": {"full": {"top1": full}, "pruned": {"top1": pruned}}, **test}


def test_more_layers_are_better_while_enough_is_kept() -> None:
    assert layers_to_spare(results(5, 0.9, 0.89)) == 5
    assert layers_to_spare(results(7, 0.9, 0.9)) == 7
    assert layers_to_spare(results(7, 0.9, 0.95)) == 7


def test_what_keeps_too_little_is_below_anything_that_keeps_enough() -> None:
    worse, bad = layers_to_spare(results(9, 0.9, 0.1)), layers_to_spare(results(3, 0.9, 0.8))
    assert worse < bad < 0


def test_a_model_with_nothing_to_lose_does_not_win() -> None:
    assert layers_to_spare(results(9, 0.1, 0.1)) == 9
    assert layers_to_spare(results(9, 0.1, 0.1), least=0.9) < 0
    assert layers_to_spare(results(1, 0.0, 0.0)) == pytest.approx(-0.98)
