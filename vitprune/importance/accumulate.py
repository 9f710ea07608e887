"""Per-clip relevance, gathered batch by batch and across processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vitprune.importance.engine import Ablation
from vitprune.importance.metrics import dprob, jsd, wide
from vitprune.importance.scores import Scores
from vitprune.importance.unit import Unit

ABLATION_VALUES = ("JSD", "dProb/predicted", "dProb/label")


class RelevanceScores(Metric):
    """Collects per-clip values of units; :meth:`compute` gives :class:`Scores`.

    Across processes every clip counts once, even if a sampler handed it out twice to make the
    processes' shares equal: clips are told apart by their index.

    Args:
        units: the U units.
        scope: what kind of units.
        names: of the values.

    Example:
        >>> import torch
        >>> from vitprune.importance import Unit
        >>> scores = RelevanceScores([Unit(0), Unit(1)], names=("cosine",))
        >>> index, label = torch.tensor([1, 0, 1]), torch.tensor([0, 0, 0])
        >>> scores.update(index, label, label, {"cosine": torch.tensor([[1., 2], [3, 6], [1, 2]])})
        >>> scores.compute().mean("cosine")
        array([2., 4.])
    """

    full_state_update = False
    clips: list[Tensor]
    labels: list[Tensor]
    predicted: list[Tensor]
    values: list[Tensor]

    def __init__(
        self,
        units: Sequence[Unit],
        scope: str = "layer",
        names: Sequence[str] = ABLATION_VALUES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = list(units)
        self.scope = scope
        self.names = tuple(names)
        for state in ("clips", "labels", "predicted", "values"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self, clips: Tensor, labels: Tensor, predicted: Tensor, values: Mapping[str, Tensor]
    ) -> None:
        """Adds a batch.

        Args:
            clips: index of each clip in the calibration split, [B].
            labels: [B].
            predicted: the full model's predictions, [B].
            values: name -> [B, U].
        """
        self.clips.append(clips.long())
        self.labels.append(labels.long())
        self.predicted.append(predicted.long())
        self.values.append(torch.stack([wide(values[name]) for name in self.names], dim=1))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        if not self.clips:  # a process without clips takes part in the gathering all the same
            none = torch.empty(0, dtype=torch.long, device=self.device)
            shape = (0, len(self.names), len(self.units))
            empty = wide(torch.empty(shape, device=self.device))
            self.clips, self.labels, self.predicted = [none], [none], [none]
            self.values = [empty]
        super().sync(*args, **kwargs)

    def compute(self) -> Scores:
        """The scores over all clips of all processes, in order of their index.

        Raises:
            ValueError: no clips at all.
        """
        states = (self.clips, self.labels, self.predicted, self.values)
        clips, labels, predicted, values = (dim_zero_cat(state).cpu().numpy() for state in states)
        if not len(clips):
            raise ValueError("no clips to compute relevance from")
        clips, first = np.unique(clips, return_index=True)
        return Scores(
            scope=self.scope,
            units=self.units,
            clips=clips,
            labels=labels[first],
            predicted=predicted[first],
            values={name: values[first, i] for i, name in enumerate(self.names)},
        )


def ablation_values(ablation: Ablation, labels: Tensor) -> dict[str, Tensor]:
    """All that ablation says about a batch of clips, each [B, U]; R follows from it.

    Args:
        ablation: what the engine gave.
        labels: [B].
    """
    full, ablated = ablation.full, ablation.ablated
    values = (jsd(full, ablated), dprob(full, ablated), dprob(full, ablated, labels))
    return dict(zip(ABLATION_VALUES, (value.T for value in values), strict=True))
