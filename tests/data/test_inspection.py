"""Videos that cannot be used are found before anything rests on them."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_videos import make_video

from vitprune.data import Clip, ClipSpec, VideoDataset, index_video
from vitprune.data.inspection import check_videos
from vitprune.data.video import FileIndex
from vitprune.errors import InputError

SETTINGS = ClipSpec(4, 32, "uniform", 4, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def dataset(tmp_path: Path) -> VideoDataset:
    clips = [Clip(make_video(tmp_path / f"{i}.mp4"), 0) for i in range(6)]
    return VideoDataset(clips, ["a"], SETTINGS, root=tmp_path)


def test_good_videos_are_looked_through_once(dataset: VideoDataset, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    check_videos([dataset], remembered=notes)
    (note,) = notes.iterdir()
    check_videos([dataset], decode=True, remembered=notes)  # a closer look is another one
    assert len(list(notes.iterdir())) == 2
    path = dataset.clips[3].path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"3\.mp4: cannot be read as a video"):
        check_videos([dataset], remembered=notes)
    assert note.exists()


def test_a_clip_that_begins_behind_the_end_is_found(dataset: VideoDataset) -> None:
    dataset.clips[2] = replace(dataset.clips[2], start=99.0)
    with pytest.raises(InputError, match=r"2\.mp4: the clip starts at 99 s, but"):
        check_videos([dataset])


def test_a_file_of_which_nothing_can_be_decoded_is_found(dataset: VideoDataset) -> None:
    path = dataset.clips[5].path
    content = bytearray(path.read_bytes())
    name = content.index(b"mdat")  # behind its size
    size = int.from_bytes(content[name - 4 : name]) - 8
    content[name + 4 : name + 4 + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"5\.mp4: no frame in it can be decoded"):
        check_videos([dataset])


def test_frames_that_cannot_be_decoded_are_found_by_decoding(dataset: VideoDataset) -> None:
    path = dataset.clips[5].path
    content = bytearray(path.read_bytes())
    index = index_video(path)
    assert isinstance(index, FileIndex)
    begin, end = index.marks[2], index.marks[4]
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    check_videos([dataset])
    with pytest.raises(InputError, match=r"5\.mp4: frame . .*cannot be decoded"):
        check_videos([dataset], decode=True)
