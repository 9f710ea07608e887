"""A video file to the clip that a bundle's model takes, as vitprune's evaluation shows it.

It needs NumPy and PyAV. Which frames, and what is decoded of them, is vitprune's own; what is left
to do here is what vitprune does with torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.data.framing import crop_corners, resized_size
from vitprune.data.sampling import SamplingName, evaluation_indices
from vitprune.data.video import VideoFile

RULES = {
    "resize": "short side to image_size; a pixel is the average of those that it is made of",
    "crop": "image_size x image_size in the centre",
    "colours": "RGB",
    "range": "0 to 1, then minus mean, divided by std",
}
"""What is the same for every clip, in words."""


@dataclass(frozen=True)
class ClipRule:
    """How a video becomes a clip.

    Attributes:
        num_frames: T.
        sampling: ``uniform``, the middle frame of each of T segments of the whole video; or
            ``dense``, T frames that are ``stride`` apart, in the middle of the video.
        stride: for ``dense``.
        image_size: H and W, in pixels.
        mean: of red, green and blue, for values in [0, 1].
        std: likewise.
    """

    num_frames: int
    sampling: SamplingName
    stride: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, settings: Any) -> ClipRule:
        """What a checkpoint's ``clip_settings``, or :meth:`plain`, say of it."""
        return cls(
            num_frames=settings["num_frames"],
            sampling=settings.get("sampling", "uniform"),
            stride=settings.get("stride", 4),
            image_size=settings["image_size"],
            mean=tuple(settings.get("mean", (0.0, 0.0, 0.0))),
            std=tuple(settings.get("std", (1.0, 1.0, 1.0))),
        )

    def plain(self) -> dict[str, Any]:
        """In JSON's types, with :data:`RULES`."""
        return {**vars(self), "mean": list(self.mean), "std": list(self.std), **RULES}


def read_pixels(path: str | Path, rule: ClipRule) -> NDArray[np.uint8]:
    """One clip of a video file, the centre one: uint8 [T, H, W, 3], RGB.

    The same as vitprune's evaluation is shown, pixel for pixel; of a video that is smaller than
    ``image_size``, to within one of 255 levels.

    Raises:
        InputError: the file is missing, no video, or damaged.
    """
    video = VideoFile(Path(path))
    index, size = video.index(), rule.image_size
    (wanted,) = evaluation_indices(len(index), rule.num_frames, rule.sampling, rule.stride, 1)
    distinct, places = np.unique(wanted, return_inverse=True)
    height, width = resized_size(index.height, index.width, size)
    read_at = min(height, index.height), min(width, index.width)
    frames = video.read(index, distinct.tolist(), read_at)
    frames = _enlarged(_enlarged(frames, height, axis=1), width, axis=2)
    ((top, left),) = crop_corners(height, width, size, crops=1)
    return frames[places, top : top + size, left : left + size]


def normalised(pixels: NDArray[np.uint8], rule: ClipRule) -> NDArray[np.float32]:
    """Pixels [..., T, H, W, 3] to what a model takes: float32 [..., 3, T, H, W]."""
    mean, std = (np.asarray(values, np.float32) for values in (rule.mean, rule.std))
    values = (pixels.astype(np.float32) * np.float32(1 / 255) - mean) / std  # as torchvision does
    return np.ascontiguousarray(np.moveaxis(values, -1, -4))


def pixels_of(clips: NDArray[np.float32], rule: ClipRule) -> NDArray[np.uint8]:
    """The inverse of :func:`normalised`."""
    mean, std = (np.asarray(values, np.float32) for values in (rule.mean, rule.std))
    values = np.moveaxis(clips, -4, -1) * std + mean
    return np.rint(values * np.float32(255)).clip(0, 255).astype(np.uint8)


def _enlarged(frames: NDArray[np.uint8], length: int, axis: int) -> NDArray[np.uint8]:
    """Frames with an axis that is interpolated linearly where it has to grow."""
    own = frames.shape[axis]
    if own >= length:
        return frames
    place = ((np.arange(length) + 0.5) * (own / length) - 0.5).clip(0, own - 1)
    before = np.floor(place).astype(np.int64)
    share = (place - before).astype(np.float32)
    share = share.reshape([-1 if i == axis else 1 for i in range(frames.ndim)])
    low = np.take(frames, before, axis).astype(np.float32)
    high = np.take(frames, np.minimum(before + 1, own - 1), axis)
    return np.rint(low + share * (high - low)).astype(np.uint8)
