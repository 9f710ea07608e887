"""Indexes and decoded clips are made once, and again when a file changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_videos import make_video, number_in, write_numbered

from vitprune.data import Clip, ClipSpec, DAIDataModule, VideoDataset, Views, index_video
from vitprune.data.clip_store import ClipStore
from vitprune.data.index_store import IndexStore
from vitprune.data.inspection import check_videos
from vitprune.data.reading import _index as index
from vitprune.data.transforms import Crop, random_crop, resized, scaled_crop
from vitprune.data.video import VideoFile

SETTINGS = ClipSpec(4, 32, "uniform", 4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def counting(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Path]:
    """The files of which ``VideoFile``'s method is called from now on."""
    seen: list[Path] = []
    method = getattr(VideoFile, name)

    def counted(self: VideoFile, *rest: object) -> object:
        seen.append(self.path)
        return method(self, *rest)

    monkeypatch.setattr(VideoFile, name, counted)
    return seen


def test_an_index_is_made_once_and_anew_for_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", 8)
    made = counting(monkeypatch, "index")
    for part in "abc":
        (tmp_path / part).mkdir()
    stores = [IndexStore(tmp_path / part / ".." / "kept") for part in "abc"]
    lengths = [len(index_video(path, store)) for store in stores]  # in memory they are three
    assert (lengths, len(made)) == ([8, 8, 8], 1)
    whole, kept = index_video(path, stores[0]), index_video(path, stores[2])
    assert all(np.array_equal(getattr(whole, name), getattr(kept, name)) for name in vars(whole))
    make_video(path, 12)
    assert len(index_video(path, stores[1])) == 12
    (file,) = (tmp_path / "kept").glob("*/*.index")
    file.write_bytes(file.read_bytes()[:100])
    assert len(index_video(path, stores[2])) == 12
    assert len(made) == 3


def dataset(root: Path, store: ClipStore | None, count: int = 3) -> VideoDataset:
    clips = [Clip(root / f"{i}.mp4", 0) for i in range(count)]
    for clip in clips:
        if not clip.path.exists():
            write_numbered(clip.path, "libx264", 8, g="4")
    return VideoDataset(clips, ["a"], SETTINGS, root=root, store=store)


def test_clips_are_decoded_once_and_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ClipStore(tmp_path / "store", gigabytes=1)
    decoded = counting(monkeypatch, "read")
    plain = dataset(tmp_path, None).evaluating()
    expected = [plain[i]["clips"] for i in range(3)]
    decoded.clear()
    for _ in range(2):
        kept = dataset(tmp_path, store).keeping("a split")
        assert all(torch.equal(kept[i]["clips"], expected[i]) for i in range(3))
    assert len(decoded) == 3
    dataset(tmp_path, store).evaluating(Views(2)).keeping("another")[0]
    assert len(decoded) == 4
    os.utime(tmp_path / "1.mp4", ns=(0, 0))
    dataset(tmp_path, store).keeping("a split")[0]
    assert len(decoded) == 5
    assert len([*(tmp_path / "store").glob("*/split.json")]) == 2


def test_training_clips_are_never_kept(tmp_path: Path) -> None:
    made = dataset(tmp_path, ClipStore(tmp_path / "store", gigabytes=1))
    made.training = True
    assert made[0, 5]["clips"].shape == (1, 3, 4, 32, 32)
    assert not (tmp_path / "store").exists()


def test_what_is_not_used_makes_room_and_what_is_too_large_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape = (1, 4, 3, 32, 32)
    store = ClipStore(tmp_path, gigabytes=2.5 * int(np.prod(shape)) / 1e9)
    for order, name in enumerate(["old", "new"]):
        kept = store.split(name, [0], shape, name)
        assert kept is not None
        os.utime(kept.folder / "split.json", (order, order))
    assert store.split("old", [0], shape, "old") is not None  # used again
    assert store.split("third", [0], shape, "third") is not None
    notes = [path.read_text() for path in tmp_path.glob("*/split.json")]
    assert len(notes) == 2
    assert not any("new" in note for note in notes)
    assert store.split("huge", [0, 1, 2], shape, "the test split") is None
    assert "the test split: its decoded clips would take" in caplog.text
    assert "dataset.store_gb" in caplog.text


def test_a_store_that_is_dropped_or_damaged_is_no_error(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, gigabytes=1)
    kept = store.split("a", [0, 0], (2, 2), "a")
    assert kept is not None
    ones = np.ones((2, 2), np.uint8)
    assert (kept.get(0, lambda: ones) == 1).all()
    (kept.folder / "0.npy").write_bytes(b"no clip")
    assert (kept.get(0, lambda: 2 * ones) == 2).all()
    (kept.folder / "split.json").unlink()
    assert (kept.get(1, lambda: 3 * ones) == 3).all()
    assert not (kept.folder / "1.npy").exists()


def test_a_crop_that_is_decided_first_is_the_crop_of_the_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    smooth = torch.rand(1, 3, 3, 4).mul(255).byte()
    frames = resized(smooth, 240, 320)
    for _ in range(20):
        crop = random_crop(240, 320, (0.3, 1.0))
        assert 0.29 < crop.height * crop.width / (240 * 320) <= 1
        cut = frames[..., crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        size, place = scaled_crop(240, 320, crop, 112)
        scaled = resized(frames, *size)
        part = scaled[
            ..., place.top : place.top + place.height, place.left : place.left + place.width
        ]
        difference = resized(part, 112, 112).float() - resized(cut, 112, 112).float()
        assert difference.abs().mean() < 2
    assert scaled_crop(48, 64, Crop(8, 8, 40, 20), 32) == ((38, 64), Crop(6, 8, 32, 20))


def test_clips_may_be_cut_in_frames(tmp_path: Path) -> None:
    made = dataset(tmp_path, None, 1)
    made.clips = [replace(made.clips[0], start=2, end=6, unit="frames")]
    assert made.evaluating().frame_numbers(0).tolist() == [[2, 3, 4, 5]]
    shown = made.evaluating()[0]["clips"][0].permute(1, 2, 3, 0).mul(255).numpy()
    assert [number_in(frame) for frame in shown] == [2, 3, 4, 5]


def test_jobs_of_a_sweep_decode_each_test_clip_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "dai"
    for split, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                mark = 8 * (split == "test") + 4 * (name == "b") + i
                make_video(root / split / name / f"{i}.mp4", 8, mark=mark)
    decoded = counting(monkeypatch, "read")
    indexed = counting(monkeypatch, "index")

    def job(**settings: int) -> list[torch.Tensor]:
        index.cache_clear()  # as in a process of its own
        data = DAIDataModule(
            root=root, num_frames=4, image_size=32, num_workers=0, cache=tmp_path / "cache",
            **settings,
        )  # fmt: skip
        data.setup()
        check_videos([data.splits["train"], data.evaluation("test")])
        scored = [batch["clips"] for batch in data.loader("test")]
        tested = [batch["clips"] for batch in data.test_dataloader()]
        assert all(map(torch.equal, scored, tested))
        return tested

    first, *others = [job() for _ in range(3)]
    assert all(torch.equal(torch.cat(first), torch.cat(other)) for other in others)
    assert len(decoded) == len(set(decoded)) == 4
    assert len(indexed) == len(set(indexed))
    job(batch_size=2, eval_batch_size=1)
    assert len(decoded) == 4
