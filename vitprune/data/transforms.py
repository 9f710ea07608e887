"""Frames to what a model takes: cropped, resized, perhaps flipped, normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2


def training_transform(
    image_size: int,
    *,
    flip: bool,
    crop_area: Sequence[float],
    colour_jitter: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> v2.Transform:
    """A random crop of the frames, the same for all of them; uint8 [T, 3, H, W] to float.

    Args:
        image_size: side of the square that comes out, in pixels.
        flip: whether half of the clips are mirrored left to right.
        crop_area: smallest and largest share of the frame's area that is kept.
        colour_jitter: brightness, contrast and saturation vary by up to this share; 0 for none.
        mean: of the three channels, for values in [0, 1].
        std: likewise.
    """
    steps: list[v2.Transform] = [
        v2.RandomResizedCrop(
            image_size, scale=(crop_area[0], crop_area[1]), interpolation=InterpolationMode.BILINEAR
        )
    ]
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if colour_jitter:
        steps.append(v2.ColorJitter(colour_jitter, colour_jitter, colour_jitter))
    return v2.Compose([*steps, *_normalise(mean, std)])


def evaluation_transform(
    image_size: int, *, mean: Sequence[float], std: Sequence[float]
) -> v2.Transform:
    """Resizes the short side to ``image_size``; uint8 [T, 3, H, W] to float."""
    resize = v2.Resize(image_size, interpolation=InterpolationMode.BILINEAR, antialias=True)
    return v2.Compose([resize, *_normalise(mean, std)])


def _normalise(mean: Sequence[float], std: Sequence[float]) -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]


def resized_size(height: int, width: int, image_size: int) -> tuple[int, int]:
    """(height, width) after :func:`evaluation_transform`, as torchvision rounds it."""
    short = min(height, width)
    return int(image_size * height / short), int(image_size * width / short)


def crop_corners(height: int, width: int, size: int, crops: int) -> list[tuple[int, int]]:
    """(top, left) of ``crops`` square crops: the centre one, or evenly spread ones."""
    places = [0.5] if crops == 1 else [i / (crops - 1) for i in range(crops)]
    return [(round(place * (height - size)), round(place * (width - size))) for place in places]


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
