"""Which source reads which path, and frames from it in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from vitprune.data.frames import FrameFolder
from vitprune.data.index_store import IndexStore
from vitprune.data.source import Source, VideoIndex
from vitprune.data.video import VideoFile
from vitprune.errors import InputError
from vitprune.files import state_of


def source_of(path: str | os.PathLike[str]) -> Source:
    """What reads the video at ``path``."""
    if os.path.isdir(path):
        return FrameFolder(Path(path))
    return VideoFile(Path(path))


def index_video(path: str | os.PathLike[str], store: IndexStore | None = None) -> VideoIndex:
    """Count a video's frames and find their times.

    Args:
        path: of a video.
        store: where its index is kept, if not only in memory.

    Raises:
        InputError: it is missing, no video, or holds no frame.
    """
    try:
        size, mtime_ns = state_of(path)
    except OSError as error:
        raise InputError(f"{path}: no such video ({error.strerror})") from error
    return _index(os.fspath(path), size, mtime_ns, store)


@lru_cache(maxsize=1024)
def _index(path: str, size: int, mtime_ns: int, store: IndexStore | None) -> VideoIndex:
    index = store.get(path, size, mtime_ns) if store else None
    if index is None:
        index = source_of(path).index()
        if store:
            store.put(path, size, mtime_ns, index)
    return index


def read_frames(
    path: str | os.PathLike[str],
    numbers: Sequence[int] | np.ndarray,
    size: tuple[int, int] | None = None,
    store: IndexStore | None = None,
) -> np.ndarray:
    """The frames with the given numbers, in the given order.

    Args:
        path: of a video.
        numbers: in [0, len(index_video(path))), any order, repeats allowed.
        size: (height, width) that they are scaled down to; None for the video's own.
        store: of the index, see :func:`index_video`.

    Returns:
        uint8 [len(numbers), height, width, 3], RGB.

    Raises:
        InputError: the video is missing or has no such frame.
        Damage: it cannot give one of these frames.
    """
    index = index_video(path, store)
    distinct, places = np.unique(np.asarray(numbers, dtype=np.int64), return_inverse=True)
    if not len(distinct):
        raise ValueError("no frames were asked for")
    if distinct[0] < 0 or distinct[-1] >= len(index):
        raise InputError(
            f"{path}: no frame {distinct[-1] if distinct[0] >= 0 else distinct[0]}; "
            f"it has frames 0 to {len(index) - 1}"
        )
    frames = source_of(path).read(index, distinct.tolist(), size or (index.height, index.width))
    return frames[places]
