"""Where head, hands and object are in the stand-ins: ``boxes.csv``, in a clip's coordinates."""

from __future__ import annotations

import csv
from pathlib import Path

from vitprune.data.dataset import VideoDataset
from vitprune.data.transforms import crop_corners, resized_size
from vitprune.data.video import index_video
from vitprune.errors import InputError

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1, in pixels."""
FrameBoxes = dict[str, Box]
"""Label (``head``, ``hand_left``, ``hand_right``, ``object``) -> box, of what is in the frame."""


def read_boxes(root: Path) -> dict[Path, dict[int, FrameBoxes]]:
    """All boxes of a stand-in: video file -> number of the frame -> boxes in the video's pixels.

    Raises:
        InputError: there is no ``boxes.csv`` in ``root``.
    """
    path = root / "boxes.csv"
    if not path.is_file():
        raise InputError(f"no file {path}; only the stand-ins come with boxes")
    boxes: dict[Path, dict[int, FrameBoxes]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            frames = boxes.setdefault(root / row["video"], {})
            box = (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
            frames.setdefault(int(row["frame"]), {})[row["label"]] = box
    return boxes


def boxes_in_clip(
    dataset: VideoDataset, number: int, boxes: dict[Path, dict[int, FrameBoxes]]
) -> list[FrameBoxes]:
    """The boxes of each frame of a video's centre view, in pixels of the clip.

    Args:
        dataset: the split that the video is in.
        number: of the video in it.
        boxes: see :func:`read_boxes`.

    Returns:
        T frames; a box is cut at the clip's border, and left out where it lies beyond.
    """
    dataset = dataset.evaluating()
    path = dataset.clips[number].path
    index, size = index_video(path), dataset.settings.image_size
    height, width = resized_size(index.height, index.width, size)
    ((top, left),) = crop_corners(height, width, size, crops=1)
    sx, sy = width / index.width, height / index.height
    clip: list[FrameBoxes] = []
    for frame in dataset.frame_numbers(number)[0]:
        seen: FrameBoxes = {}
        for label, (x0, y0, x1, y1) in boxes.get(path, {}).get(int(frame), {}).items():
            x0, x1 = (min(max(x * sx - left, 0.0), float(size)) for x in (x0, x1))
            y0, y1 = (min(max(y * sy - top, 0.0), float(size)) for y in (y0, y1))
            if x0 < x1 and y0 < y1:
                seen[label] = (x0, y0, x1, y1)
        clip.append(seen)
    return clip
