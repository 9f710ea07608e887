from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitprune.data.sampling import (
    SAMPLINGS,
    dense_indices,
    evaluation_indices,
    training_indices,
    uniform_indices,
)

totals = st.integers(1, 500)
lengths = st.integers(1, 40)
strides = st.integers(1, 12)
shares = st.floats(0, 0.999)


def check(indices: np.ndarray, total: int, num_frames: int) -> None:
    assert indices.shape == (num_frames,)
    assert indices.min() >= 0
    assert indices.max() < total
    assert (np.diff(indices) >= 0).all()


@given(totals, lengths, strides, st.floats(0, 1))
def test_dense_is_in_order_within_the_video(
    total: int, num_frames: int, stride: int, position: float
) -> None:
    indices = dense_indices(total, num_frames, stride, position)
    check(indices, total, num_frames)
    if total >= (num_frames - 1) * stride + 1:
        assert (np.diff(indices) == stride).all()
    else:
        assert indices[0] == 0


@given(totals, lengths, st.data())
def test_uniform_takes_one_frame_of_every_segment(
    total: int, num_frames: int, data: st.DataObject
) -> None:
    offsets = data.draw(st.lists(shares, min_size=num_frames, max_size=num_frames))
    indices = uniform_indices(total, num_frames, offsets)
    check(indices, total, num_frames)
    if total >= num_frames:
        edges = np.arange(num_frames + 1) * total / num_frames
        assert (indices > edges[:-1] - 1).all()
        assert (indices < edges[1:]).all()


@given(totals, lengths, strides, st.sampled_from(SAMPLINGS), st.integers(1, 6))
def test_evaluation_views_are_in_order_and_spread(
    total: int, num_frames: int, stride: int, sampling: str, views: int
) -> None:
    indices = evaluation_indices(total, num_frames, sampling, stride, views)  # type: ignore[arg-type]
    assert indices.shape == (views, num_frames)
    for view in indices:
        check(view, total, num_frames)
    assert (np.diff(indices, axis=0) >= 0).all()


@given(totals, lengths, strides, st.sampled_from(SAMPLINGS), st.data())
def test_training_clips_are_in_order(
    total: int, num_frames: int, stride: int, sampling: str, data: st.DataObject
) -> None:
    random = data.draw(st.lists(shares, min_size=num_frames, max_size=num_frames))
    check(training_indices(total, num_frames, sampling, stride, random), total, num_frames)  # type: ignore[arg-type]


def test_dense_views_reach_from_the_first_frame_to_the_last() -> None:
    views = evaluation_indices(100, 4, "dense", 5, 3)
    assert views[0, 0] == 0
    assert views[-1, -1] == 99
    assert evaluation_indices(101, 3, "dense", 10, 1).tolist() == [[40, 50, 60]]


def test_uniform_takes_the_middle_of_each_segment() -> None:
    assert evaluation_indices(32, 4, "uniform", 1, 1).tolist() == [[4, 12, 20, 28]]


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0])
def test_a_short_video_repeats_its_last_frame(position: float) -> None:
    assert dense_indices(3, 6, 1, position).tolist() == [0, 1, 2, 2, 2, 2]
    assert uniform_indices(2, 4, 0.5).tolist() == [0, 0, 1, 1]
