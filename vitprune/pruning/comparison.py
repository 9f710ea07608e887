"""Two models' answers to the very same videos, compared in pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.per_video import PerVideo, rank
from vitprune.statistics import mcnemar


class Comparison(NamedTuple):
    """Per-video answers of the full and the pruned model, ordered by video.

    All arrays are [N]; ranks count from 0, so a rank of 0 is a Top-1 hit.
    """

    video: NDArray[np.int64]
    label: NDArray[np.int64]
    full_prediction: NDArray[np.int64]
    pruned_prediction: NDArray[np.int64]
    full_rank: NDArray[np.int64]
    pruned_rank: NDArray[np.int64]

    @property
    def videos(self) -> int:
        return len(self.video)

    def full_top(self, k: int) -> float:
        """Share of videos whose label is among the full model's k best, in [0, 1]."""
        return float((self.full_rank < k).mean())

    def pruned_top(self, k: int) -> float:
        """Share of videos whose label is among the pruned model's k best, in [0, 1]."""
        return float((self.pruned_rank < k).mean())

    @property
    def right_to_wrong(self) -> int:
        return int(((self.full_rank == 0) & (self.pruned_rank != 0)).sum())

    @property
    def wrong_to_right(self) -> int:
        return int(((self.full_rank != 0) & (self.pruned_rank == 0)).sum())

    @property
    def p_value(self) -> float:
        """McNemar's exact p that both models are right equally often."""
        return mcnemar(self.right_to_wrong, self.wrong_to_right)


class PairedAccuracy(PerVideo):
    """Collects both models' answers per video; works across processes."""

    def __init__(self) -> None:
        super().__init__(len(Comparison._fields) - 1)

    def update(self, video: Tensor, label: Tensor, full: Tensor, pruned: Tensor) -> None:
        """Add a batch: ``video`` and ``label`` [B], probabilities ``full``, ``pruned`` [B, C]."""
        columns = (
            label,
            full.argmax(dim=1),
            pruned.argmax(dim=1),
            rank(full, label),
            rank(pruned, label),
        )
        self.add(video, torch.stack(columns, dim=1))

    def compute(self) -> Comparison:
        video, columns = self.by_video()
        return Comparison(video.numpy(), *columns.long().T.numpy())
