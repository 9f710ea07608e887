"""Several models' answers to the very same videos, compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.results.statistics import mcnemar
from vitprune.training.per_video import PerVideo, rank


class Answers(NamedTuple):
    """What one model answers: both [N].

    Attributes:
        prediction: the class that it puts first.
        rank: of the label among its classes; it counts from 0, so 0 is a Top-1 hit.
    """

    prediction: NDArray[np.int64]
    rank: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which videos are Top-1 hits."""
        return self.rank == 0

    def top(self, k: int) -> float:
        """Share of videos whose label is among the k best, in [0, 1]."""
        return float((self.rank < k).mean())

    def accuracy(self) -> dict[str, float]:
        """Top-1 and Top-5."""
        return {"top1": self.top(1), "top5": self.top(5)}


class Comparison(NamedTuple):
    """Every model's answers, ordered by video.

    Attributes:
        video: numbers in their split, [N].
        label: [N].
        models: name -> its answers.
    """

    video: NDArray[np.int64]
    label: NDArray[np.int64]
    models: Mapping[str, Answers]

    @property
    def videos(self) -> int:
        return len(self.video)

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """Which videos every model answers right."""
        return {name: answers.right for name, answers in self.models.items()}

    def paired(self, one: str, other: str) -> dict[str, float]:
        """How many videos change sides from one model to another, with McNemar's exact p that
        both are right equally often."""
        before, after = self.models[one].right, self.models[other].right
        lost, won = int((before & ~after).sum()), int((~before & after).sum())
        return {
            "videos": self.videos,
            "right_to_wrong": lost,
            "wrong_to_right": won,
            "p_value": mcnemar(lost, won),
        }


class PairedAccuracy(PerVideo):
    """Collects several models' answers per video; works across processes.

    Args:
        names: of the models.
    """

    def __init__(self, names: Sequence[str] = ("full", "pruned")) -> None:
        super().__init__(1 + 2 * len(names))
        self.names = tuple(names)

    def update(self, video: Tensor, label: Tensor, *probabilities: Tensor) -> None:
        """Add a batch: ``video`` and ``label`` [B], and of every model probabilities [B, C]."""
        columns = [label]
        for found in probabilities:
            columns += [found.argmax(dim=1), rank(found, label)]
        self.add(video, torch.stack(columns, dim=1))

    def compute(self) -> Comparison:
        video, columns = self.by_video()
        label, *rest = columns.long().T.numpy()
        answers = map(Answers, rest[::2], rest[1::2])
        return Comparison(video.numpy(), label, dict(zip(self.names, answers, strict=True)))
