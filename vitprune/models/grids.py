"""Grids of tokens and pixels: from attention per token back to frames and pixels.

Along an axis, token i of a grid is either the patch of pixels [i * pitch, (i + 1) * pitch), as
after a patch embedding, or it lies around pixel i * pitch, as after a convolution that pads both
sides. In both cases a pixel belongs to the token whose centre is nearest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitprune.models.attention import geometry


@geometry
def nearest(fine: int, coarse: int, pitch: int, centred: bool) -> Tensor:
    """[fine, coarse]: which coarse positions lie nearest to each fine position of an axis.

    Each row sums to one; a fine position halfway between two coarse ones belongs half to each.

    Args:
        fine: number of fine positions.
        coarse: number of coarse positions.
        pitch: fine positions from one coarse position to the next.
        centred: whether coarse position i lies around fine position i * pitch; otherwise it covers
            the ``pitch`` fine positions that begin there.
    """
    first = 0.0 if centred else (pitch - 1) / 2
    distance = (torch.arange(fine)[:, None] - (first + pitch * torch.arange(coarse))).abs()
    near = (distance <= distance.min(dim=1, keepdim=True).values + 1e-6).float()
    return near / near.sum(dim=1, keepdim=True)


def spread(maps: Tensor, axes: Sequence[Tensor]) -> Tensor:
    """Upsamples maps from a coarse grid to a fine one and keeps their sums.

    Every fine position gets the density of its nearest coarse positions, so an even map stays even
    and a map that is zero but for one position is zero but around it.

    Args:
        maps: [..., t, h, w], not negative.
        axes: for each of the three axes [fine, coarse], as :func:`nearest` makes them.

    Returns:
        [..., T, H, W].
    """
    total = maps.sum((-3, -2, -1), keepdim=True)
    t, h, w = (axis.to(maps) for axis in axes)
    fine = torch.einsum("...thw,Tt,Hh,Ww->...THW", maps, t, h, w)
    return fine * (total / fine.sum((-3, -2, -1), keepdim=True).clamp_min(1e-30))
