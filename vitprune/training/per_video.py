"""Figures of videos, gathered batch by batch and across processes; every video counts once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerVideo(Metric):
    """A metric that keeps a row of figures for every video; the base of those that use the rows.

    A distributed sampler hands out some videos twice, so that every process gets equally many.
    Videos are told apart by their number, and one that comes again is left out.

    Args:
        width: how many figures a video has.
    """

    full_state_update = False
    rows: list[Tensor]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def add(self, video: Tensor, figures: Tensor) -> None:
        """Adds a batch: ``video`` [B], each one's number in its split, and ``figures`` [B, W]."""
        self.rows.append(torch.cat([wide(video[:, None]), wide(figures)], dim=1))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        if not self.rows:  # a process without videos takes part in the gathering all the same
            self.rows = [self._none()]
        super().sync(*args, **kwargs)

    def _none(self) -> Tensor:
        return wide(torch.empty(0, 1 + self.width, device=self.device))

    def by_video(self) -> tuple[Tensor, Tensor]:
        """The N videos' numbers [N], ascending, and their figures, float64 [N, W]; on the CPU."""
        # A tensor after the gathering, a list before it.
        rows = dim_zero_cat(self.rows) if len(self.rows) else self._none()
        rows = rows.cpu().double()
        rows = rows[rows[:, 0].argsort(stable=True)]
        again = torch.zeros(len(rows), dtype=torch.bool)
        again[1:] = rows[1:, 0] == rows[:-1, 0]
        return rows[~again, 0].long(), rows[~again, 1:]


class HitsPerVideo(PerVideo):
    """Whether each of several models is right about each video."""

    def update(self, video: Tensor, hits: Tensor) -> None:
        """Adds a batch: ``video`` [B], and ``hits`` [B, W], of W models."""
        self.add(video, hits)

    def compute(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The videos' numbers [N], ascending, and their hits [N, W]."""
        video, hits = self.by_video()
        return video.numpy(), hits.bool().numpy()


class MeanPerVideo(PerVideo):
    """The mean of every figure over the videos, [W]; a number where there is one figure.

    Example:
        >>> import torch
        >>> mean = MeanPerVideo(2)
        >>> mean.update(torch.tensor([1, 0, 1]), torch.tensor([[1., 2], [3, 6], [1, 2]]))
        >>> mean.compute()
        tensor([2., 4.], dtype=torch.float64)
    """

    def update(self, video: Tensor, figures: Tensor) -> None:
        """Adds a batch: ``video`` [B], and ``figures`` [B, W]."""
        self.add(video, figures)

    def compute(self) -> Tensor:
        return self.by_video()[1].mean(dim=0)


def rank(scores: Tensor, label: Tensor) -> Tensor:
    """How many classes come before the label's: [B], 0 for a Top-1 hit.

    Ties go to the lower class, as in argmax. A label whose score is nan comes behind all classes.

    Args:
        scores: [B, C].
        label: [B].
    """
    own = scores.gather(1, label[:, None])
    classes = torch.arange(scores.shape[1], device=scores.device)
    behind = (scores < own) | ((scores == own) & (classes >= label[:, None]))
    return (~behind).sum(dim=1)


def wide(x: Tensor) -> Tensor:
    """In float64; in float32 on devices without it."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
