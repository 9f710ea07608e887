"""What a video offers, be it a file or a folder of frames: when its frames are shown, and frames.

:class:`~vitprune.data.video.VideoFile` is the source that reads files;
:mod:`vitprune.data.reading` says which source reads which path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vitprune.errors import InputError


@dataclass(frozen=True)
class VideoIndex:
    """What is known of a video before its frames are read.

    Attributes:
        times: seconds from the first frame at which each frame is shown, ascending.
        keyframes: the numbers of the frames at which decoding can start, ascending. In a folder
            of pictures that is every frame.
        height: of the frames as they are shown, in pixels.
        width: likewise.
    """

    times: np.ndarray
    keyframes: np.ndarray
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.times)

    def span(self, start: float | None, end: float | None) -> tuple[int, int]:
        """The frames [first, last) that are shown from ``start`` to before ``end``, in seconds.

        Never empty where ``start`` lies within the video: at least the frame shown at ``start``.
        """
        eps = 1e-3  # some containers round times to milliseconds
        first = 0
        if start is not None:
            first = max(0, int(np.searchsorted(self.times, start + eps, side="right")) - 1)
        last = len(self)
        if end is not None:
            last = int(np.searchsorted(self.times, end - eps, side="left"))
        return first, max(last, first + 1)


class Source(Protocol):
    """A video whose frames have numbers, from 0 in the order in which they are shown.

    Both methods raise :class:`~vitprune.errors.InputError` if the path is missing or holds no
    video, and :class:`Damage` for a frame that it cannot give: another one is never given instead.
    """

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    def index(self) -> VideoIndex:
        """Count the frames and find their times; it is kept on disk, so it may take a while."""
        ...

    def read(self, index: VideoIndex, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Frames scaled to a size, which is no larger than the video's own.

        Args:
            index: as :meth:`index` has given it, or as it was kept.
            numbers: of the frames, ascending, without repeats, in [0, len(index)).
            size: (height, width) in pixels; a side may stay as it is.

        Returns:
            uint8 [len(numbers), height, width, 3], RGB.
        """
        ...


class Damage(InputError):
    """A video that is there, and of which a frame or the whole cannot be decoded."""


class Torn(Exception):
    """A file is not built as files of its format are, so that parts of it may be lost."""
