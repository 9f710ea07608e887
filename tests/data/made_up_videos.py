"""Real videos that are made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from vitprune.data.video import write_video


def make_video(
    path: Path, frames: int = 6, *, size: tuple[int, int] = (48, 64), mark: int = 0
) -> Path:
    """A video file of ``size`` (H, W) that gets brighter from frame to frame.

    Videos of different ``mark``, up to 15, differ by the level of one corner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = [
        np.full((*size, 3), 20 + 200 * i // max(1, frames - 1), np.uint8) for i in range(frames)
    ]
    for level in levels:
        level[:16, :16] += np.uint8(2 * mark)
    write_video(path, levels, fps=10)
    return path


def make_square(path: Path, places: Sequence[int], *, size: tuple[int, int] = (48, 64)) -> Path:
    """A grey video of ``size`` (H, W) with a yellow square, 16 pixels wide, at these left edges."""
    frames = []
    for x in places:
        frame = np.full((*size, 3), 128, np.uint8)
        frame[16:32, x : x + 16] = (250, 220, 20)
        frames.append(frame)
    write_video(path, frames, fps=10)
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every frame, as PyAV itself decodes the file: uint8 [T, H, W, 3]."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def write_ucf101(root: Path) -> None:
    """A UCF101 of two classes with eight groups each, in three official splits."""
    classes = ("Archery", "Diving")
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {c}\n" for i, c in enumerate(classes, 1)))
    files = []
    for label, name in enumerate(classes, 1):
        for group in range(1, 9):
            file = f"{name}/v_{name}_g{group:02d}_c01.avi"
            make_video(root / "UCF-101" / file, frames=4 + group, size=(32 + 16 * label, 64))
            files.append((file, label, group))
    for split in (1, 2, 3):
        test = [file for file, _, group in files if group % 3 == split - 1]
        (lists / f"testlist0{split}.txt").write_text("".join(f"{file}\n" for file in test))
        (lists / f"trainlist0{split}.txt").write_text(
            "".join(f"{file} {label}\n" for file, label, _ in files if file not in test)
        )
