"""With on_error=skip, what cannot be read is left out, said, and never replaced by another clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_videos import make_video

from vitprune.data import DAIDataModule
from vitprune.data.inspection import check_videos
from vitprune.errors import InputError
from vitprune.models import build_model
from vitprune.training import VideoClassifier

BROKEN = "train/a/2.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six training clips of two classes, of which one is broken, and two of each other split."""
    places = [
        tmp_path / split / name / f"{i}.mp4"
        for split, count in (("train", 3), ("val", 1), ("test", 1))
        for name in ("a", "b")
        for i in range(count)
    ]
    for mark, path in enumerate(places):
        make_video(path, mark=mark)
    (tmp_path / BROKEN).write_bytes(b"nothing")
    return tmp_path


def module(root: Path, **options: Any) -> DAIDataModule:
    options = {"num_workers": 0, "batch_size": 3, "on_error": "skip", **options}
    made = DAIDataModule(root=root, num_frames=2, image_size=32, **options)
    made.setup()
    return made


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_without_a_clip(root: Path, workers: int) -> None:
    made = module(root, num_workers=workers)
    loader = made.train_dataloader()
    for _ in range(2):
        batches = list(loader)
        names = [name for batch in batches for name in batch["name"]]
        assert sorted(names) == [f"train/{c}/{i}.mp4" for c in "ab" for i in range(3)][:2] + [
            f"train/b/{i}.mp4" for i in range(3)
        ]
        assert sorted(len(batch["label"]) for batch in batches) == [2, 3]
        assert all(len(batch["clips"]) == len(batch["video"]) for batch in batches)
        assert "unread" not in batches[0]
    coverage = made.coverage()
    assert coverage["clips"] == {"train": 5, "val": 2, "test": 2}
    ((line,),) = coverage["left_out"].values()
    assert line.startswith(f"{root / BROKEN}: cannot be read as a video")


def test_by_default_it_is_an_error(root: Path) -> None:
    with pytest.raises(InputError, match=r"2\.mp4: cannot be read"):
        list(module(root, on_error="raise").train_dataloader())
    with pytest.raises(
        InputError, match=r"dataset\.on_error is 'ignore'; it must be raise or skip"
    ):
        module(root, on_error="ignore")


def test_what_is_found_before_is_left_out_of_the_split(root: Path, tmp_path: Path) -> None:
    made = module(root)
    listing, notes = made.splits["train"].listing(), tmp_path / "notes"
    (found,) = check_videos([made.splits["train"]], remembered=notes, skip=True)
    assert list(found) == [2]
    assert check_videos([made.splits["train"]], remembered=notes, skip=True) == [found]
    with pytest.raises(InputError, match=r"2\.mp4: cannot be read"):
        check_videos([made.splits["train"]], remembered=notes)
    before = made.splits["train"].fingerprint()
    made.leave_out("train", found)
    assert len(made.splits["train"]) == 5
    assert made.splits["train"].listing() == listing
    assert made.splits["train"].fingerprint() != before
    assert len(made.splits["train"].excerpts()) == 5
    assert made.coverage()["clips"]["train"] == 5
    assert sum(len(batch["label"]) for batch in made.train_dataloader()) == 3  # one whole batch
    with pytest.raises(InputError, match="no clip of the val split of dai can be read"):
        made.leave_out("val", {0: "a", 1: "b"})


def test_a_step_without_any_clip_moves_nothing(root: Path) -> None:
    """Its gradients are there and zero, so that other processes need not wait for them."""
    for path in (root / "train").glob("*/*"):
        path.write_bytes(b"nothing")
    made = module(root)
    (batch, _) = made.train_dataloader()
    assert len(batch["label"]) == len(batch["name"]) == 0
    assert batch["clips"].shape == (0, 1, 3, 2, 32, 32)
    model = build_model("timesformer", "tiny", num_classes=2, num_frames=2, image_size=32)
    classifier = VideoClassifier(model, ["a", "b"], {}, mixup=0.5)
    classifier.log = lambda *_, **__: None  # type: ignore[method-assign]
    loss = classifier.training_step(batch, 0)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and not g.any() for g in gradients)
    assert torch.equal(loss.detach(), torch.zeros(()))
