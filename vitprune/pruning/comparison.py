"""Several models' answers to the very same videos, compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from vitprune.results.safety import Flip, SafetyCard, changes
from vitprune.results.statistics import mcnemar
from vitprune.training.per_video import PerVideo, rank, wide

FULL = "full"
"""What the model that others are compared with is called."""
BINS = 15
"""Of confidence, equally wide."""


class Answers(NamedTuple):
    """What one model answers: all [N].

    Attributes:
        prediction: the class that it puts first.
        rank: of the label among its classes; it counts from 0, so 0 is a Top-1 hit.
        confidence: the probability of its prediction.
    """

    prediction: NDArray[np.int64]
    rank: NDArray[np.int64]
    confidence: NDArray[np.float64]

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

    def calibration_error(self) -> float:
        """How far confidence is from how often it is right, in [0, 1], over :data:`BINS` bins.

        Expected calibration error: Guo et al., arXiv:1706.04599.
        """
        confidence, right = torch.from_numpy(self.confidence), torch.from_numpy(self.right)
        return float(binary_calibration_error(confidence, right.long(), n_bins=BINS, norm="l1"))


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

    def safety(
        self,
        name: str,
        videos: Sequence[str],
        classes: Sequence[str],
        kinds: Mapping[str, Sequence[str]],
    ) -> SafetyCard:
        """What a smaller model costs whom.

        Args:
            name: of the model.
            videos: what each of the N videos is called.
            classes: names of the classes.
            kinds: kind of groups besides classes, as ``view`` -> the group of each video, empty
                where unknown.
        """
        full, smaller = self.models[FULL], self.models[name]
        labels = [classes[label] for label in self.label]
        found = {
            kind: changes(groups, full.right, smaller.right)
            for kind, groups in {"class": labels, **kinds}.items()
            if len({*groups} - {""}) > 1
        }
        flips = [
            Flip(videos[i], labels[i], classes[smaller.prediction[i]])
            for i in map(int, np.flatnonzero(full.right & ~smaller.right))
        ]
        ece = {"full": full.calibration_error(), "smaller": smaller.calibration_error()}
        return SafetyCard(found, flips, ece)


class PairedAccuracy(PerVideo):
    """Collects several models' answers per video; works across processes.

    Args:
        names: of the models.
    """

    def __init__(self, names: Sequence[str] = ("full", "pruned")) -> None:
        super().__init__(1 + 3 * len(names))
        self.names = tuple(names)

    def update(self, video: Tensor, label: Tensor, *probabilities: Tensor) -> None:
        """Add a batch: ``video`` and ``label`` [B], and of every model probabilities [B, C]."""
        columns = [label]
        for found in probabilities:
            confidence, prediction = found.max(dim=1)
            columns += [prediction, rank(found, label), confidence]
        self.add(video, torch.stack([wide(column) for column in columns], dim=1))

    def compute(self) -> Comparison:
        video, columns = self.by_video()
        confidence = columns[:, 3::3].T.contiguous().numpy()
        label, *rest = columns.long().T.numpy()
        answers = map(Answers, rest[::3], rest[1::3], confidence)
        return Comparison(video.numpy(), label, dict(zip(self.names, answers, strict=True)))
