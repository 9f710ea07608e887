"""Two models' answers to the very same videos, compared in pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.results.statistics import mcnemar
from vitprune.training.per_video import PerVideo, rank


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

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """Which videos the ``full`` and the ``pruned`` model answer right."""
        return {"full": self.full_rank == 0, "pruned": self.pruned_rank == 0}

    def full(self) -> dict[str, float]:
        """The full model's Top-1 and Top-5."""
        return {"top1": self.full_top(1), "top5": self.full_top(5)}

    def pruned(self) -> dict[str, float]:
        """The pruned model's Top-1 and Top-5."""
        return {"top1": self.pruned_top(1), "top5": self.pruned_top(5)}

    def paired(self) -> dict[str, float]:
        """How many videos changed sides."""
        return {
            "videos": self.videos,
            "right_to_wrong": self.right_to_wrong,
            "wrong_to_right": self.wrong_to_right,
            "p_value": self.p_value,
        }

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
