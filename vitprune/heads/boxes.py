"""A number for "looks at the head": attention against boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.data.boxes import Box, FrameBoxes
from vitprune.heads.attention import AttentionMap, attention_maps
from vitprune.importance import Unit
from vitprune.models import VideoTransformer
from vitprune.results.statistics import Intervals, bootstrap_intervals

Floats = NDArray[np.float64]
FrameRects = Sequence[Sequence[Box]]
"""For each frame the boxes of one kind of object (two for hands)."""
KINDS: Mapping[str, tuple[str, ...]] = {"hand": ("hand_left", "hand_right")}
"""Labels of boxes that are one kind of object; any other label is a kind of its own."""


def by_kind(frames: Sequence[FrameBoxes]) -> dict[str, FrameRects]:
    """A clip's boxes by kind of object: ``head``, ``hand``, ``object``."""
    kind_of = {label: kind for kind, labels in KINDS.items() for label in labels}
    kinds = sorted({kind_of.get(label, label) for frame in frames for label in frame})
    return {
        kind: [
            [box for label, box in frame.items() if kind_of.get(label, label) == kind]
            for frame in frames
        ]
        for kind in kinds
    }


def mask(rects: FrameRects, height: int, width: int) -> Tensor:
    """How much of each pixel lies in the boxes of its frame: [T, height, width] in [0, 1]."""
    result = torch.zeros(len(rects), height, width)
    for frame, boxes in zip(result, rects, strict=True):
        for x0, y0, x1, y1 in boxes:
            inside = _covered(y0, y1, height)[:, None] * _covered(x0, x1, width)
            frame[:] = torch.maximum(frame, inside)
    return result


def _covered(start: float, end: float, size: int) -> Tensor:
    """How much of each of ``size`` unit steps lies in [start, end)."""
    edges = torch.arange(size + 1).clamp(start, end)
    return edges[1:] - edges[:-1]


class Looks(NamedTuple):
    """How one head's maps lie to the boxes of B clips; nan where a clip has no box.

    Attributes:
        lift: attention in the boxes over what an even spread would put there. With M_t the
            attention on frame t, M_t(box) that in its boxes and s_t the boxes' share of the
            frame: ``sum_t M_t(box) / sum_t M_t s_t`` over the frames that have a box. 1 is even.
        hit: pointing game (Zhang et al. 2018, arXiv:1608.00507): share of frames in which the
            point of highest attention lies in a box. The point is the middle of the highest
            token's pixels; several that are equally high count in parts.
    """

    lift: Tensor
    hit: Tensor


class Targets:
    """The boxes of one kind of object in B clips, to hold maps against.

    Sums over pixels become sums over tokens, once for all heads with the same tokens:
    ``sum_p inside[p] density[p] = sum_j map[j] sum_p inside[p] axes[p, j]``.

    Args:
        inside: from :func:`mask`, [B, T, H, W].
    """

    def __init__(self, inside: Tensor) -> None:
        self.inside = inside
        self.seen = inside.flatten(2).any(2).float()  # [B, T]
        self.share = inside.mean((2, 3))  # [B, T]
        self._on_tokens: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}

    def mean_share(self) -> Tensor:
        """Mean share of the frame that the boxes fill where there are any, [B]."""
        return self.share.sum(1) / self.seen.sum(1)

    def looks(self, maps: AttentionMap) -> Looks:
        """How a head's maps lie to the boxes."""
        grid = tuple(maps.tokens.shape[1:])
        if grid not in self._on_tokens:
            self._on_tokens[grid] = self._project(maps.axes)
        in_box, even, at_middle = self._on_tokens[grid]
        density = maps.tokens
        lift = (density * in_box).sum((1, 2, 3)) / (density * even).sum((1, 2, 3))
        frames = torch.einsum("bthw,Tt->bThw", density, maps.axes[0])
        high = (frames >= frames.amax((2, 3), keepdim=True) * (1 - 1e-5)).float()
        hits = (high * at_middle).sum((2, 3)) / high.sum((2, 3))
        return Looks(lift, (hits * self.seen).sum(1) / self.seen.sum(1))

    def _project(self, axes: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        times, rows, columns = axes
        in_box = torch.einsum("bTHW,Tt,Hh,Ww->bthw", self.inside, times, rows, columns)
        even = torch.einsum("bT,Tt,Hh,Ww->bthw", self.share, times, rows, columns)
        at_middle = torch.einsum("bTHW,hH,wW->bThw", self.inside, _middles(rows), _middles(columns))
        return in_box, even, at_middle


def _middles(axis: Tensor) -> Tensor:
    """[pixels, tokens] to [tokens, pixels]: the pixel, or two, in the middle of each token's."""
    pixels = torch.arange(len(axis), dtype=axis.dtype)
    middle = (axis * pixels[:, None]).sum(0) / axis.sum(0)
    near = ((pixels - middle[:, None]).abs() <= 0.5 + 1e-4).float()
    return near / near.sum(1, keepdim=True)


def box_looks(
    model: VideoTransformer,
    batches: Iterable[tuple[Tensor, Sequence[str], Mapping[str, tuple[Tensor, Tensor]]]],
    heads: Sequence[Unit],
    query: str = "mean",
) -> dict[str, BoxFigures]:
    """How every head's maps lie to boxes, clip by clip, by kind of object.

    Args:
        model: whose heads.
        batches: clips [B, 3, T, H, W], their names, and by kind what is in the boxes of the clips
            themselves and in those of other clips (:func:`mask`, each [B, T, H, W]).
        heads: which.
        query: see :mod:`vitprune.heads.attention`.
    """
    columns: dict[str, dict[str, list[Floats]]] = {}
    for clips, names, boxes in batches:
        found_maps = attention_maps(model, clips, heads, query, names)
        maps = [found.cpu() for found in found_maps.values()]
        for kind, (own, foreign) in boxes.items():
            mine, others = Targets(own), Targets(foreign)
            looks = [mine.looks(each) for each in maps]
            elsewhere = [others.looks(each).lift for each in maps]
            found = {
                "lift": torch.stack([each.lift for each in looks], 1),
                "hit": torch.stack([each.hit for each in looks], 1),
                "elsewhere": torch.stack(elsewhere, 1),
                "share": mine.mean_share()[:, None],
            }
            for name, value in found.items():
                columns.setdefault(kind, {}).setdefault(name, []).append(value.double().numpy())
    return {
        kind: BoxFigures(**{name: np.concatenate(parts) for name, parts in found.items()})
        for kind, found in columns.items()
    }


@dataclass(frozen=True)
class BoxFigures:
    """Figures of U heads on N clips for one kind of object; nan where a clip has no such box.

    Attributes:
        lift: see :class:`Looks`, [N, U].
        hit: likewise.
        elsewhere: the lift of the same maps with the boxes of other clips, [N, U]. What a head
            keeps there it owes to where such objects usually are, not to seeing this one.
        share: mean share of the frame that the boxes fill, [N, 1]; the hits of pointing at random.
    """

    lift: Floats
    hit: Floats
    elsewhere: Floats
    share: Floats

    def summary(self, seed: int = 0) -> BoxSummary:
        """Over the clips; ``seed`` is of the bootstrap."""
        return BoxSummary(
            bootstrap_intervals(self.lift, seed),
            bootstrap_intervals(self.hit, seed=seed),
            np.nanmean(self.elsewhere, 0),
            float(np.nanmean(self.share)),
        )


class BoxSummary(NamedTuple):
    """Means of :class:`BoxFigures` over the clips; lift and hit [U] with 95 % intervals."""

    lift: Intervals
    hit: Intervals
    elsewhere: Floats
    share: float


def partners(clips: int, seed: int = 0) -> NDArray[np.int64]:
    """Pairs every clip with another one, of whatever class; each is taken once: [clips]."""
    order = np.random.default_rng(seed).permutation(clips)
    other = np.empty(clips, np.int64)
    other[order] = np.roll(order, 1)
    return other
