"""Consistency, class selectivity and their chance levels, on relevance that was made up."""

from __future__ import annotations

import numpy as np
import pytest

from vitprune.heads.relevance import (
    class_means,
    consistency,
    default_top,
    selectivity,
    selectivity_test,
    top_heads,
)

LABELS = np.repeat(np.arange(4), 8)


def noise(heads: int, seed: int) -> np.ndarray:
    """Relevance that has nothing to do with classes, with the long tails that relevance has."""
    return np.random.default_rng(seed).lognormal(-6, 2, (len(LABELS), heads))


def test_consistency_counts_ranks() -> None:
    values = np.array([[3.0, 2.0, 1.0, 0.0], [0.3, 0.1, 0.2, 0.0], [9.0, 9.0, 9.0, 9.0]])
    np.testing.assert_allclose(consistency(values, 1), [1, 0, 0, 0])  # ties to the lower head
    np.testing.assert_allclose(consistency(values, 2), [1, 2 / 3, 1 / 3, 0])
    scaled = values * np.array([[1e-6], [1.0], [1e6]])
    np.testing.assert_allclose(consistency(scaled, 2), consistency(values, 2))
    assert consistency(noise(30, 0), 3).sum() == pytest.approx(3)
    assert [default_top(heads) for heads in (4, 94, 144)] == [1, 9, 14]


def test_class_means_and_selectivity() -> None:
    values = np.array([[1.0, 2.0], [3.0, 2.0], [0.0, 2.0], [-4.0, 2.0]])
    means = class_means(values, np.array([0, 0, 1, 3]), 4)
    np.testing.assert_allclose(means[[0, 1, 3]], [[2, 2], [0, 2], [-4, 2]])
    assert np.isnan(means[2]).all()
    np.testing.assert_allclose(selectivity(means), [1.0, 0.0])  # below zero counts as zero
    np.testing.assert_allclose(selectivity(np.array([[3.0], [1.0], [1.0]])), [0.5])
    np.testing.assert_allclose(selectivity(np.zeros((3, 2))), [0.0, 0.0])


def test_a_planted_head_is_found() -> None:
    values = noise(40, 1)
    values[LABELS == 2, 17] += 0.5
    values[:, 5] += 1.0  # relevant throughout, so for no class
    test = selectivity_test(values, LABELS, 4, permutations=500)
    assert test.p_value[17] < 0.01
    assert test.preferred[17] == 2
    assert test.index[17] == pytest.approx(selectivity(class_means(values, LABELS, 4))[17])
    assert test.index[5] < 0.1
    assert (np.delete(test.p_value, 17) > 0.01).all()


def test_chance_is_rarely_taken_for_a_finding() -> None:
    found = [
        (selectivity_test(noise(30, seed), LABELS, 4, permutations=199, seed=seed).p_value <= 0.05)
        .any()
        for seed in range(60)
    ]  # fmt: skip
    assert sum(found) <= 8  # 3 expected; more than 8 once in 500 times


def test_p_values_without_correction_would_not_do() -> None:
    """What the correction is for: the smallest of many p-values is not small by itself."""
    smallest = [
        selectivity_test(noise(60, seed), LABELS, 4, permutations=199, seed=seed).p_value.min()
        for seed in range(20)
    ]
    assert np.mean(smallest) > 0.25


def test_the_top_heads_of_a_class() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (20, 10))
    values[:, 3] += 1.0
    values[:, 7] += 0.5
    first, second, third = top_heads(values, 3)
    assert (first.head, second.head) == (3, 7)
    assert first.confidence == second.confidence == 1.0
    assert third.confidence < 1.0  # one of eight that are alike
    (alone,) = top_heads(values[:1], 1)  # one clip is the same in every sample
    assert alone.head == 3
    assert np.isnan(alone.confidence)
