"""Frames to what a model takes: cropped, resized, perhaps flipped, normalised.

What is cropped is decided before frames are read, which are then read at the size that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop, v2

from vitprune.data.framing import crop_corners


class Crop(NamedTuple):
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


def random_crop(height: int, width: int, crop_area: Sequence[float]) -> Crop:
    """A random part of a frame, as torchvision's RandomResizedCrop draws it.

    Args:
        height: of the frame.
        width: likewise.
        crop_area: smallest and largest share of the frame's area that is kept.
    """
    frame = torch.empty(1, height, width, device="meta")
    return Crop(*RandomResizedCrop.get_params(frame, list(crop_area), [3 / 4, 4 / 3]))


def scaled_crop(
    height: int, width: int, crop: Crop, image_size: int
) -> tuple[tuple[int, int], Crop]:
    """The size that frames are to be read at, so that a crop needs no more scaling down.

    A side along which the crop would have to grow stays as it is: only the crop is scaled up.

    Returns:
        (height, width) of the frames, and where the crop lies in them.
    """
    rows, top = _scaled_side(height, crop.top, crop.height, image_size)
    columns, left = _scaled_side(width, crop.left, crop.width, image_size)
    kept = Crop(top, left, min(crop.height, image_size), min(crop.width, image_size))
    return (rows, columns), kept


def _scaled_side(length: int, begin: int, part: int, wanted: int) -> tuple[int, int]:
    if part <= wanted:
        return length, begin
    scaled = max(wanted, round(length * wanted / part))
    return scaled, min(round(begin * wanted / part), scaled - wanted)


def training_transform(
    *, flip: bool, colour_jitter: float, mean: Sequence[float], std: Sequence[float]
) -> v2.Transform:
    """What happens to a training crop, the same to all frames: uint8 [T, 3, H, W] to float.

    Args:
        flip: whether half of the clips are mirrored left to right.
        colour_jitter: brightness, contrast and saturation vary by up to this share; 0 for none.
        mean: of the three channels, for values in [0, 1].
        std: likewise.
    """
    steps: list[v2.Transform] = []
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if colour_jitter:
        steps.append(v2.ColorJitter(colour_jitter, colour_jitter, colour_jitter))
    return v2.Compose([*steps, *_normalise(mean, std)])


def evaluation_transform(*, mean: Sequence[float], std: Sequence[float]) -> v2.Transform:
    """uint8 [..., 3, H, W] to what a model takes, float."""
    return v2.Compose(_normalise(mean, std))


def resized(frames: Tensor, height: int, width: int) -> Tensor:
    """uint8 [T, 3, H, W], scaled if they have another size."""
    if tuple(frames.shape[-2:]) == (height, width):
        return frames
    return v2.functional.resize(
        frames, [height, width], interpolation=InterpolationMode.BILINEAR, antialias=True
    )


def _normalise(mean: Sequence[float], std: Sequence[float]) -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]


def long_side_crops(frames: Tensor, size: int, crops: int) -> list[Tensor]:
    """Square crops of side ``size`` along the long side of [..., H, W], whose short side it is.

    Args:
        crops: 1 (the centre) or 3 (left, centre, right; or top, centre, bottom).
    """
    height, width = frames.shape[-2:]
    return [
        frames[..., top : top + size, left : left + size]
        for top, left in crop_corners(height, width, size, crops)
    ]


def as_tensor(frames: np.ndarray) -> Tensor:
    """uint8 [T, H, W, 3] to [T, 3, H, W]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def as_clip(frames: Tensor) -> Tensor:
    """[T, 3, H, W] to [3, T, H, W]."""
    return frames.transpose(0, 1)
