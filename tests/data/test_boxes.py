"""Boxes: read from a file, and carried over to what a clip shows of its video."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_videos import make_square

from vitprune.data import Clip, ClipSpec, VideoDataset, boxes_in_clip, read_boxes
from vitprune.errors import InputError


def test_boxes_follow_the_clip(tmp_path: Path) -> None:
    places = [4, 12, 20, 28, 36, 44]
    path = make_square(tmp_path / "a.mp4", places)
    spec = ClipSpec(4, 32, "uniform", 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    dataset = VideoDataset([Clip(path, 0)], ["a"], spec, root=tmp_path)
    boxes = {path: {i: {"object": (x, 16.0, x + 16.0, 32.0)} for i, x in enumerate(places)}}
    clip = dataset[0]["clips"][0]
    seen = boxes_in_clip(dataset, 0, boxes)
    assert len(seen) == 4
    assert len({frame["object"] for frame in seen}) == 4
    for t, frame in enumerate(seen):
        x0, y0, x1, y1 = frame["object"]
        assert 0 <= x0 < x1 <= 32
        red, green, blue = clip[:, t, int((y0 + y1) / 2), int((x0 + x1) / 2)]
        assert min(red, green) > blue + 0.4  # yellow


def test_boxes_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    path = tmp_path / "mine.csv"
    path.write_text("video,frame,label,x0,y0,x1,y1\na.mp4,3,head,1,2,3.5,4\nb.mp4,0,cup,0,0,1,1\n")
    boxes = read_boxes(tmp_path, path)
    assert boxes == {
        tmp_path / "videos" / "a.mp4": {3: {"head": (1, 2, 3.5, 4)}},
        tmp_path / "b.mp4": {0: {"cup": (0, 0, 1, 1)}},
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, r"no file .*boxes.csv; .* boxes=FILE"),
        ("video,frame,label,x0,y0,x1\n", "line 1: no column 'y1'"),
        ("video,frame,label,x0,y0,x1,y1\na,0,head,1,2,3,four\n", "line 2: frame '0' and a box"),
        ("video,frame,label,x0,y0,x1,y1\na,0,head,1,2,1,4\n", "line 2: .* x0 < x1 and y0 < y1"),
        ("video,frame,label,x0,y0,x1,y1\na,-1,head,1,2,3,4\n", "frames count from 0"),
        ("video,frame,label,x0,y0,x1,y1\na,0,head,1\n", "line 2: .* four numbers are needed"),
    ],
)
def test_wrong_boxes_are_refused(tmp_path: Path, text: str | None, line: str) -> None:
    if text is not None:
        (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(InputError, match=line):
        read_boxes(tmp_path)


def test_boxes_in_another_encoding_are_refused(tmp_path: Path) -> None:
    header = "video,frame,label,x0,y0,x1,y1"
    (tmp_path / "boxes.csv").write_text(f"{header}\na,0,k\u00f6pfe,1,2,3,4\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"boxes\.csv: is no CSV file in UTF-8"):
        read_boxes(tmp_path)
