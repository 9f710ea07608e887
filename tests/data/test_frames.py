"""Folders of frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_up_layouts import write_frames
from PIL import Image

from vitprune.data import (
    Clip,
    ClipSpec,
    DAIDataModule,
    VideoDataset,
    index_video,
    read_frames,
)
from vitprune.data.source import Damage
from vitprune.errors import InputError
from vitprune.files import content_digest, content_size, state_of


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "AC1", 12, "RGB1_SUB1ACT1F{}.jpg")
    (folder / "Thumbs.db").write_text("no picture")
    (folder / ".hidden.jpg").write_text("no picture")
    index = index_video(folder)
    assert (len(index), index.height, index.width) == (12, 24, 32)
    frames = read_frames(folder, [11, 0, 9])
    assert frames.shape == (3, 24, 32, 3)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [120, 10, 100]).max() < 3
    assert read_frames(folder, [3], size=(12, 16)).shape == (1, 12, 16, 3)


@pytest.mark.parametrize("mode", ["I;16", "L", "P", "RGBA", "F"])
def test_pictures_of_any_kind(tmp_path: Path, mode: str) -> None:
    values = np.linspace(0, 255, 24 * 32).reshape(24, 32)
    if mode == "I;16":
        picture = Image.fromarray((values * 20).astype(np.uint16))
    elif mode == "F":
        picture = Image.fromarray(values.astype(np.float32))
    else:
        picture = Image.fromarray(values.astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "D1_1.tiff")
    (frame,) = read_frames(tmp_path, [0])
    assert np.abs(frame[..., 0] - values).max() <= 8
    assert (frame[..., 0] == frame[..., 2]).mean() > 0.5


def test_damage_is_named(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", 3, "F{}.png")
    whole = (folder / "F2.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"nothing", b""):
        (folder / "F2.png").write_bytes(content)
        with pytest.raises(Damage, match=r"F2\.png: cannot be read as a picture") as caught:
            read_frames(folder, [1])
        assert "\n" not in str(caught.value)
        assert len(read_frames(folder, [0, 2])) == 2
    Image.new("RGB", (8, 8)).save(folder / "F2.png")
    with pytest.raises(
        Damage, match=r"F2\.png: is of 8x8 pixels, the folder's first frame of 32x24"
    ):
        read_frames(folder, [1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no frames"):
        index_video(tmp_path / "empty")


def test_a_folder_is_known_by_what_it_holds(tmp_path: Path) -> None:
    one = write_frames(tmp_path / "one", 5)
    other = write_frames(tmp_path / "other", 5, "RGB_F{}.jpg")
    assert content_digest(one) == content_digest(other)
    assert content_size(one) == sum(path.stat().st_size for path in one.iterdir())
    assert content_digest(one) != content_digest(write_frames(tmp_path / "bright", 5, level=90))
    assert content_digest(one) != content_digest(write_frames(tmp_path / "long", 6))


def test_clips_in_frames(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", 20)
    spec = ClipSpec(4, 16, "dense", 1, (0.0,) * 3, (1.0,) * 3)
    clips = [Clip(folder, 0, 5, 9, unit="frames"), Clip(folder, 0, 20, 30, unit="frames")]
    data = VideoDataset(clips, ["x"], spec, root=tmp_path)
    assert data.frame_numbers(0).tolist() == [[5, 6, 7, 8]]
    assert data.names == ["a#frames=5,9", "a#frames=20,30"]
    with pytest.raises(InputError, match=r"starts at frame 20, but the video's last frame is 19"):
        data[1]
    (excerpt,) = VideoDataset(clips[:1], ["x"], spec, root=tmp_path).excerpts()
    assert (excerpt.start, excerpt.end) == (5 / 30, 9 / 30)


def test_annotations_may_name_folders(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for i, split in enumerate(("train", "val", "test")):
        write_frames(tmp_path / "videos" / split, 30, level=20 * i)
        rows = f"video,label,start,end\n{split},a,0,0.5\n"
        (tmp_path / "annotations" / f"{split}.csv").write_text(rows)
    made = DAIDataModule(root=tmp_path, num_frames=3, image_size=16, num_workers=0)
    made.setup()
    assert made.splits["test"].frame_numbers(0).tolist() == [[2, 7, 12]]
    assert next(iter(made.test_dataloader()))["clips"].shape == (1, 1, 3, 3, 16, 16)


def test_a_picture_that_is_overwritten_is_a_change(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", 3, "F{}.png")
    before = state_of(folder)
    assert state_of(folder) == before
    os.utime(folder / "F1.png", ns=(0, before[1] + 1))  # the folder's own date stays
    assert state_of(folder) != before
