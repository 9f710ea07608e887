"""Which frames of a video make a clip: pure functions from a number of frames to indices.

A *view* here is one clip in time; at test a video has several, evenly spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

SamplingName = Literal["dense", "uniform"]
SAMPLINGS: tuple[str, ...] = get_args(SamplingName)


def dense_indices(total: int, num_frames: int, stride: int, position: float) -> np.ndarray:
    """``num_frames`` frames, ``stride`` apart, starting at ``position`` of what there is room for.

    Args:
        total: frames in the video, at least 1. Where the clip is longer than the video, the last
            frame is repeated.
        num_frames: length of the clip.
        stride: distance of its frames.
        position: in [0, 1]; 0 is the earliest clip, 1 the latest.

    Returns:
        int64 [num_frames], ascending, in [0, total).

    Example:
        >>> dense_indices(10, num_frames=4, stride=2, position=1.0)
        array([3, 5, 7, 9])
    """
    room = max(0, total - ((num_frames - 1) * stride + 1))
    start = min(int(position * (room + 1)), room)
    return np.minimum(start + stride * np.arange(num_frames), total - 1)


def uniform_indices(total: int, num_frames: int, offsets: float | Sequence[float]) -> np.ndarray:
    """One frame from each of ``num_frames`` equal segments of the whole video (TSN).

    Args:
        total: frames in the video, at least 1. Where it has fewer than segments, frames repeat.
        num_frames: number of segments.
        offsets: in [0, 1), where in its segment each frame lies; one for all, or one for each.

    Returns:
        int64 [num_frames], ascending, in [0, total).

    Example:
        >>> uniform_indices(12, num_frames=4, offsets=0.5)
        array([ 1,  4,  7, 10])
    """
    segments = np.arange(num_frames) + np.asarray(offsets, dtype=np.float64)
    return np.clip(np.floor(segments * total / num_frames).astype(np.int64), 0, total - 1)


def evaluation_indices(
    total: int, num_frames: int, sampling: SamplingName, stride: int, views: int
) -> np.ndarray:
    """The clips of a video at test, evenly spread: int64 [views, num_frames].

    One dense view lies in the middle; several reach from the first frame to the last. Uniform
    views take their frames at evenly spread places of each segment.
    """
    if sampling == "uniform":
        clips = [uniform_indices(total, num_frames, (v + 0.5) / views) for v in range(views)]
    else:
        positions = np.linspace(0, 1, views) if views > 1 else [0.5]
        clips = [dense_indices(total, num_frames, stride, float(p)) for p in positions]
    return np.stack(clips)


def training_indices(
    total: int, num_frames: int, sampling: SamplingName, stride: int, random: Sequence[float]
) -> np.ndarray:
    """A clip at a random place: int64 [num_frames].

    Args:
        random: ``num_frames`` numbers drawn from [0, 1).
    """
    if sampling == "uniform":
        return uniform_indices(total, num_frames, random)
    return dense_indices(total, num_frames, stride, random[0])
