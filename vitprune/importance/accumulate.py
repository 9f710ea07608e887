"""Per-clip relevance, gathered batch by batch and across processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vitprune.importance.engine import Ablation
from vitprune.importance.metrics import dprob, jsd
from vitprune.importance.scores import Scores
from vitprune.models.unit import Unit
from vitprune.training.per_video import PerVideo, wide

ABLATION_VALUES = ("JSD", "dProb/predicted", "dProb/label")


class RelevanceScores(PerVideo):
    """Collects per-clip values of units; :meth:`compute` gives :class:`Scores`.

    Works across processes; clips are told apart by their index and count once.

    Args:
        units: the U units.
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

    def __init__(
        self,
        units: Sequence[Unit],
        names: Sequence[str] = ABLATION_VALUES,
    ) -> None:
        super().__init__(2 + len(names) * len(units))
        self.units = list(units)
        self.names = tuple(names)

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
        classes = wide(torch.stack([labels, predicted], dim=1))
        columns = [wide(values[name]) for name in self.names]
        self.add(clips, torch.cat([classes, *columns], dim=1))

    def compute(self) -> Scores:
        """The scores over all clips of all processes, in order of their index.

        Raises:
            ValueError: no clips at all.
        """
        clips, columns = self.by_video()
        if not len(clips):
            raise ValueError("no clips to compute relevance from")
        labels, predicted = columns[:, :2].long().T.numpy()
        values = columns[:, 2:].unflatten(1, (len(self.names), len(self.units))).numpy()
        return Scores(
            units=self.units,
            clips=clips.numpy(),
            labels=labels,
            predicted=predicted,
            values={name: values[:, i] for i, name in enumerate(self.names)},
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
