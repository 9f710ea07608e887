"""The paired comparison of several models' answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing
from torch.utils.data import DistributedSampler

from vitprune.pruning import PairedAccuracy
from vitprune.results.statistics import mcnemar


def one_hot(classes: list[int], width: int = 7) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), width).float()


def test_counts_changes_in_both_directions() -> None:
    paired = PairedAccuracy()
    label = torch.tensor([0, 1, 2, 3, 4])
    paired.update(torch.arange(5), label, one_hot([0, 1, 2, 0, 0]), one_hot([0, 0, 0, 3, 0]))
    found = paired.compute()
    told = found.paired("full", "pruned")
    assert told["videos"] == found.videos == 5
    assert (told["right_to_wrong"], told["wrong_to_right"]) == (2, 1)
    assert found.models["full"].top(1) == pytest.approx(0.6)
    assert found.models["pruned"].top(1) == pytest.approx(0.4)
    assert told["p_value"] == pytest.approx(mcnemar(2, 1))
    back = found.paired("pruned", "full")
    assert (back["right_to_wrong"], back["wrong_to_right"]) == (1, 2)


def test_any_number_of_models_is_compared_in_pairs() -> None:
    paired = PairedAccuracy(("full", "pruned", "recovered"))
    label = torch.tensor([0, 1, 2, 3])
    answers = {"full": [0, 1, 2, 3], "pruned": [0, 0, 0, 0], "recovered": [0, 1, 0, 3]}
    paired.update(torch.arange(4), label, *map(one_hot, answers.values()))
    found = paired.compute()
    assert {name: one.prediction.tolist() for name, one in found.models.items()} == answers
    assert {name: right.sum() for name, right in found.hits().items()} == {
        "full": 4, "pruned": 1, "recovered": 3,
    }  # fmt: skip
    changes = found.paired("pruned", "recovered")
    assert (changes["right_to_wrong"], changes["wrong_to_right"]) == (0, 2)
    assert found.models["recovered"].accuracy() == {"top1": 0.75, "top5": 1.0}


def test_a_repeated_video_counts_once_and_videos_are_ordered() -> None:
    paired = PairedAccuracy()
    for videos in ([3, 1], [0, 3], [2, 0]):
        label = torch.tensor(videos)
        paired.update(label, label, one_hot(videos), one_hot([0, 0]))
    found = paired.compute()
    assert found.video.tolist() == [0, 1, 2, 3]
    assert found.models["full"].top(1) == 1.0
    assert found.models["pruned"].top(1) == 0.25


def answer_share(rank: int, rendezvous: str, out: str) -> None:
    """One of two processes: answers its share of seven videos, saves the comparison of all."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    paired = PairedAccuracy()
    for video in DistributedSampler(range(7), 2, rank, shuffle=False):  # type: ignore[arg-type]
        label = torch.tensor([video])
        paired.update(label, label, one_hot([video]), one_hot([0]))
    found = paired.compute()
    predictions = (answers.prediction for answers in found.models.values())
    np.save(f"{out}/{rank}.npy", np.stack([found.video, found.label, *predictions]))
    distributed.destroy_process_group()


def test_two_processes_answer_every_video_once(tmp_path: Path) -> None:
    arguments = (f"{tmp_path}/rendezvous", str(tmp_path))
    multiprocessing.start_processes(answer_share, arguments, nprocs=2, start_method="fork")
    for rank in (0, 1):  # the sampler gave video 0 to both, so that they have four each
        video, label, full, pruned = np.load(tmp_path / f"{rank}.npy")
        assert video.tolist() == label.tolist() == full.tolist() == list(range(7))
        assert pruned.tolist() == [0] * 7


@settings(deadline=None)
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
        assert found.models["full"].top(k) == pytest.approx(float(hits))
    told = found.paired("full", "pruned")
    assert told["right_to_wrong"] == told["wrong_to_right"] == 0
    assert told["p_value"] == 1.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_calibration_error_is_the_definitions(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = torch.from_numpy(draw.dirichlet([0.4] * 5, 80))
    label = torch.from_numpy(draw.integers(0, 5, 80))
    paired = PairedAccuracy()
    paired.update(torch.arange(80), label, scores, scores)
    found = paired.compute().models["full"]
    np.testing.assert_allclose(found.confidence, scores.max(1).values)
    bins = np.ceil(found.confidence * 15)  # the right end of a bin belongs to it
    expected = sum(
        (bins == b).mean() * abs(found.right[bins == b].mean() - found.confidence[bins == b].mean())
        for b in np.unique(bins)
    )
    assert found.calibration_error() == pytest.approx(expected, abs=1e-5)


def test_a_card_tells_who_loses() -> None:
    paired = PairedAccuracy(("full", "pruned"))
    label = torch.tensor([0, 0, 1, 1, 2])
    paired.update(torch.arange(5), label, one_hot([0, 0, 1, 1, 0], 3), one_hot([0, 1, 1, 0, 2], 3))
    card = paired.compute().safety(
        "pruned", list("vwxyz"), ["drink", "text", "wheel"],
        {"subject": ["p1", "p1", "p2", "p2", ""], "view": ["front"] * 5},
    )  # fmt: skip
    assert set(card.groups) == {"class", "subject"}  # one view is no groups
    assert [(one.name, one.points) for one in card.groups["class"]] == [
        ("drink", -50), ("text", -50), ("wheel", 100),
    ]  # fmt: skip
    assert [(one.name, one.videos) for one in card.groups["subject"]] == [("p1", 2), ("p2", 2)]
    assert [(flip.video, flip.label, flip.prediction) for flip in card.flips] == [
        ("w", "drink", "text"), ("y", "text", "drink"),
    ]  # fmt: skip
    assert card.ece["full"] == pytest.approx(0.2)
