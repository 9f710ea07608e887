"""Two models' answers to the very same videos, compared in pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

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


class PairedAccuracy(Metric):
    """Collects both models' answers per video; works across processes.

    A video that a distributed sampler repeats to fill the last batch counts once.
    """

    full_state_update = False
    rows: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, video: Tensor, label: Tensor, full: Tensor, pruned: Tensor) -> None:
        """Add a batch: ``video`` and ``label`` [B], probabilities ``full``, ``pruned`` [B, C]."""
        columns = (
            video,
            label,
            full.argmax(dim=1),
            pruned.argmax(dim=1),
            _rank(full, label),
            _rank(pruned, label),
        )
        self.rows.append(torch.stack(columns, dim=1))

    def compute(self) -> Comparison:
        rows = dim_zero_cat(self.rows).cpu().numpy()
        _, first = np.unique(rows[:, 0], return_index=True)
        return Comparison(*rows[first].T)


def _rank(scores: Tensor, label: Tensor) -> Tensor:
    """How many classes score above the label's: [B]. Ties go to the lower class, as in argmax."""
    own = scores.gather(1, label[:, None])
    classes = torch.arange(scores.shape[1], device=scores.device)
    ahead = (scores > own) | ((scores == own) & (classes < label[:, None]))
    return ahead.sum(dim=1)
