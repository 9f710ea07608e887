"""The paired comparison of two models' answers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitprune.pruning import PairedAccuracy
from vitprune.statistics import mcnemar


def one_hot(classes: list[int], width: int = 7) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), width).float()


def test_counts_changes_in_both_directions() -> None:
    paired = PairedAccuracy()
    label = torch.tensor([0, 1, 2, 3, 4])
    paired.update(torch.arange(5), label, one_hot([0, 1, 2, 0, 0]), one_hot([0, 0, 0, 3, 0]))
    found = paired.compute()
    assert (found.right_to_wrong, found.wrong_to_right) == (2, 1)
    assert found.full_top(1) == pytest.approx(0.6)
    assert found.pruned_top(1) == pytest.approx(0.4)
    assert found.p_value == pytest.approx(mcnemar(2, 1))


def test_a_repeated_video_counts_once_and_videos_are_ordered() -> None:
    paired = PairedAccuracy()
    for videos in ([3, 1], [0, 3], [2, 0]):
        label = torch.tensor(videos)
        paired.update(label, label, one_hot(videos), one_hot([0, 0]))
    found = paired.compute()
    assert found.video.tolist() == [0, 1, 2, 3]
    assert found.full_top(1) == 1.0
    assert found.pruned_top(1) == 0.25


@given(st.integers(0, 2**32 - 1))
def test_top_k_agrees_with_sorting(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = torch.from_numpy(draw.random((6, 9)))
    label = torch.from_numpy(draw.integers(0, 9, 6))
    paired = PairedAccuracy()
    paired.update(torch.arange(6), label, scores, scores)
    found = paired.compute()
    for k in (1, 5):
        hits = (scores.topk(k).indices == label[:, None]).any(1).float().mean()
        assert found.full_top(k) == pytest.approx(float(hits))
    assert found.right_to_wrong == found.wrong_to_right == 0
    assert found.p_value == 1.0
