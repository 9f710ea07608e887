"""Every video counts once, and what is not a number is never right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitprune.training.per_video import MeanPerVideo, rank


def test_a_repeated_video_counts_once() -> None:
    hits = MeanPerVideo(2)
    hits.update(torch.tensor([1, 0]), torch.tensor([[True, False], [False, False]]))
    hits.update(torch.tensor([2, 1]), torch.tensor([[True, True], [True, False]]))
    assert hits.compute().tolist() == pytest.approx([2 / 3, 1 / 3])
    numbers, rows = hits.by_video()
    assert numbers.tolist() == [0, 1, 2]
    assert rows.tolist() == [[0, 0], [1, 0], [1, 1]]


def test_one_figure_is_a_number() -> None:
    mean = MeanPerVideo(1)
    mean.update(torch.arange(4), torch.tensor([[1.0], [2], [3], [6]]))
    assert float(mean.compute()) == 3


@given(st.integers(0, 2**32 - 1))
def test_rank_is_the_place_in_the_order(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 4, (6, 9)).astype(np.float32)  # with ties
    label = draw.integers(0, 9, 6)
    order = np.argsort(-scores, axis=1, kind="stable")
    places = [list(row).index(own) for row, own in zip(order, label, strict=True)]
    assert rank(torch.from_numpy(scores), torch.from_numpy(label)).tolist() == places


def test_nan_is_never_right() -> None:
    nothing = torch.full((3, 5), torch.nan)
    assert rank(nothing, torch.tensor([0, 2, 4])).tolist() == [5, 5, 5]
    one = torch.tensor([[torch.nan, 1.0, 0.0]] * 2)
    assert rank(one, torch.tensor([0, 1])).tolist() == [3, 1]
