"""Relevance of every unit for every clip, what is ranked from it, and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vitprune.files import replacing
from vitprune.importance.metrics import METRICS, TARGETS
from vitprune.models.unit import Unit

DIRECTIONS = ("lowest", "highest")


class Scores:
    """The scores of U units on N clips.

    Args:
        units: the U units, in order of execution.
        clips: which clips of the calibration split, ascending, [N].
        labels: their labels, [N].
        predicted: the full model's predictions, [N].
        values: what was measured, by name, each [N, U]. Ablation gives ``JSD``,
            ``dProb/predicted`` and ``dProb/label``; another measure gives one array of its own
            name, with one row [1, U] if it looks at no clips.

    All are attributes, too. No dataclass, because torchmetrics would take it apart.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        clips: np.ndarray,
        labels: np.ndarray,
        predicted: np.ndarray,
        values: Mapping[str, np.ndarray],
    ) -> None:
        self.units = list(units)
        self.clips = clips
        self.labels = labels
        self.predicted = predicted
        self.values = {name: np.asarray(array, np.float64) for name, array in values.items()}

    @property
    def jsd(self) -> np.ndarray:
        """JSD, [N, U]."""
        return self.per_clip("JSD")

    @property
    def dprob_predicted(self) -> np.ndarray:
        """dProb of the full model's prediction, [N, U]."""
        return self.per_clip("dProb", "predicted")

    @property
    def dprob_label(self) -> np.ndarray:
        """dProb of the label, [N, U]."""
        return self.per_clip("dProb", "label")

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the scores can be ranked by: ``JSD``, ``dProb`` and ``R``, or another measure."""
        return METRICS if "JSD" in self.values else tuple(self.values)

    def per_clip(self, metric: str = "R", target: str = "predicted") -> np.ndarray:
        """Relevance of every unit for every clip, float64 [N, U].

        Raises:
            ValueError: an unknown metric or target, or a metric that was not measured.
        """
        if target not in TARGETS:
            raise ValueError(f"target={target!r} is not one of {', '.join(TARGETS)}")
        if metric not in self.metrics:
            raise ValueError(f"metric={metric!r} is not one of {', '.join(self.metrics)}")
        if metric == "R":
            return (self.values["JSD"] + self.values[f"dProb/{target}"]) / 2
        return self.values[f"dProb/{target}" if metric == "dProb" else metric]

    def mean(self, metric: str = "R", target: str = "predicted") -> np.ndarray:
        """Relevance of every unit: the mean over the clips, [U]."""
        return self.per_clip(metric, target).mean(axis=0)

    def standard_error(self, metric: str = "R", target: str = "predicted") -> np.ndarray:
        """Standard error of :meth:`mean`, [U]; nan for fewer than two clips."""
        values = self.per_clip(metric, target)
        if len(values) < 2:
            return np.full(values.shape[1], np.nan)
        return values.std(axis=0, ddof=1) / np.sqrt(len(values))

    def rank(
        self, metric: str = "R", direction: str = "lowest", target: str = "predicted"
    ) -> list[Unit]:
        """The units in the order in which they would be dropped.

        Args:
            metric: see ``metrics``.
            direction: ``lowest`` for the least relevant first, ``highest`` for the most.
            target: ``predicted`` or ``label``.

        Ties are broken by the lower layer number, in either direction.

        Raises:
            ValueError: an unknown metric, direction or target.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"direction={direction!r} is not one of {', '.join(DIRECTIONS)}")
        mean = self.mean(metric, target)
        order = np.argsort(mean if direction == "lowest" else -mean, kind="stable")
        return [self.units[i] for i in order]

    def lowest(self, k: int, metric: str = "R", target: str = "predicted") -> list[Unit]:
        """The k least relevant units, least first."""
        return self.rank(metric, "lowest", target)[:k]

    def highest(self, k: int, metric: str = "R", target: str = "predicted") -> list[Unit]:
        """The k most relevant units, most first."""
        return self.rank(metric, "highest", target)[:k]

    def save(self, path: str | Path) -> None:
        """Writes everything to an ``.npz`` file, which is there whole or not at all."""
        arrays = {f"values/{name}": array for name, array in self.values.items()}
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                allow_pickle=False,
                units=np.array([str(unit) for unit in self.units], dtype=np.str_),
                clips=self.clips,
                labels=self.labels,
                predicted=self.predicted,
                **arrays,
            )

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """What :meth:`save` wrote.

        Raises:
            OSError, ValueError, KeyError, zipfile.BadZipFile: the file is not there, damaged, or
                something else.
        """
        with np.load(path, allow_pickle=False) as file:
            scores = cls(
                units=[Unit.parse(text) for text in file["units"]],
                clips=file["clips"],
                labels=file["labels"],
                predicted=file["predicted"],
                values={
                    name.removeprefix("values/"): file[name]
                    for name in file.files
                    if name.startswith("values/")
                },
            )
        if any(array.shape[-1] != len(scores.units) for array in scores.values.values()):
            raise ValueError(f"{path}: values that do not fit the units")
        if not all(np.isfinite(array).all() for array in scores.values.values()):
            raise ValueError(f"{path}: values that are not finite")
        return scores

    def to_csv(self, path: str | Path, target: str = "predicted") -> None:
        """Writes one line per unit: mean and standard error of every metric.

        The same scores give the same bytes.
        """
        columns = [
            column
            for metric in self.metrics
            for column in (self.mean(metric, target), self.standard_error(metric, target))
        ]
        header = [name for metric in self.metrics for name in (metric, f"{metric}_se")]

        lines = [["unit", *header]]
        for unit, *figures in zip(self.units, *columns, strict=True):
            lines.append([str(unit), *(f"{figure:.9g}" for figure in figures)])
        with replacing(path) as temporary:
            temporary.write_text("".join(",".join(line) + "\n" for line in lines), newline="\n")
