"""Where head, hands and object are: ``video,frame,label,x0,y0,x1,y1``, in a clip's coordinates."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from vitprune.data.dataset import VideoDataset
from vitprune.data.framing import crop_corners, resized_size
from vitprune.errors import InputError

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1, in pixels."""
FrameBoxes = dict[str, Box]
"""Label (``head``, ``hand_left``, ``hand_right``, ``object``) -> box, of what is in the frame."""
COLUMNS = ("video", "frame", "label", "x0", "y0", "x1", "y1")


def read_boxes(root: Path, path: str | Path | None = None) -> dict[Path, dict[int, FrameBoxes]]:
    """All boxes of a dataset: video file -> number of the frame -> boxes in the video's pixels.

    Args:
        root: what the column ``video`` is relative to; ``videos/`` in it is tried, too.
        path: the CSV with :data:`COLUMNS`; ``boxes.csv`` in ``root`` if not given.

    Raises:
        InputError: there is no such file, or something in it is wrong; says in which line.
    """
    path = root / "boxes.csv" if path is None else Path(path)
    if not path.is_file():
        raise InputError(
            f"no file {path}; the stand-ins come with boxes, for other data write a CSV "
            f"{','.join(COLUMNS)} (pixels of the video) and name it with boxes=FILE"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, root, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file in UTF-8 ({error})") from error


def _read(file: Iterable[str], root: Path, path: Path) -> dict[Path, dict[int, FrameBoxes]]:
    boxes: dict[Path, dict[int, FrameBoxes]] = {}
    files: dict[str, Path] = {}
    reader = csv.DictReader(file)
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise InputError(f"{path}, line 1: no column {missing[0]!r}; it takes {','.join(COLUMNS)}")
    for row in reader:
        video = row["video"]
        if video not in files:
            inside = root / "videos" / video
            files[video] = inside if inside.is_file() else root / video
        frame, box = _numbers(row, f"{path}, line {reader.line_num}")
        boxes.setdefault(files[video], {}).setdefault(frame, {})[row["label"]] = box
    return boxes


def _numbers(row: dict[str, str], where: str) -> tuple[int, Box]:
    try:
        frame = int(row["frame"])
        x0, y0, x1, y1 = (float(row[name]) for name in COLUMNS[3:])
    except (TypeError, ValueError):
        raise InputError(
            f"{where}: frame {row['frame']!r} and a box "
            f"{', '.join(str(row[name]) for name in COLUMNS[3:])}; a whole number and four numbers "
            "are needed"
        ) from None
    if not (frame >= 0 and x0 < x1 and y0 < y1):
        raise InputError(
            f"{where}: frame {frame} with a box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}); "
            "frames count from 0, x0 < x1 and y0 < y1"
        )
    return frame, (x0, y0, x1, y1)


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
    index, size = dataset.index(number), dataset.spec.image_size
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
