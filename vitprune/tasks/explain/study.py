"""What is explained, and where findings go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.data import VideoDataModule
from vitprune.data.base import SplitName
from vitprune.errors import InputError
from vitprune.importance import Scores, ScoreStore, entry_name, score
from vitprune.importance.engine import Autocast
from vitprune.models import VideoTransformer
from vitprune.report import pictures
from vitprune.results.writing import write_csv
from vitprune.tasks.run import Run
from vitprune.tasks.subject import subject_of
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A model, and the clips that it is shown.

    Attributes:
        cfg: the command's configuration.
        classifier: in eval mode, on the device and in the precision that were configured.
        data: set up, with clips as the classifier wants them.
        autocast: gives the context of mixed precision.
        precision: by the trainer's name.
        store: of scores.
    """

    cfg: Evaluate
    classifier: VideoClassifier
    data: VideoDataModule
    autocast: Autocast
    precision: str
    store: ScoreStore

    @property
    def dataset(self) -> str:
        """The name of the clips' dataset."""
        return self.data.name

    @property
    def model(self) -> VideoTransformer:
        return self.classifier.model

    @property
    def class_names(self) -> list[str]:
        """Of the clips, which may not be those of the classifier."""
        return self.data.class_names

    def scores(self, split: SplitName) -> Scores:
        """Relevance of every head for every clip of a split, from the store if it is there.

        The clips may have other classes than the model: relevance then follows what it predicts.

        Raises:
            InputError: ``target=label`` with clips of other classes.
        """
        foreign = self.class_names != self.classifier.class_names
        if foreign and self.cfg.target == "label":
            raise InputError(
                f"target=label needs the checkpoint's own classes, dataset={self.dataset} has "
                "others; use target=predicted"
            )
        name = entry_name(
            self.model,
            self.data.fingerprint(split),
            scope="head",
            measure="ablation",
            precision=self.precision,
        )

        def compute() -> Scores:
            return score(
                self.model,
                self._own_labels(split) if foreign else self.data.loader(split),
                "head",
                max_streams=self.cfg.max_streams,
                autocast=self.autocast,
            )

        scores = self.store.get(name, compute)
        clips = self.data.splits[split].clips
        scores.labels = np.array([clips[i].label for i in scores.clips], np.int64)
        return scores

    def _own_labels(self, split: SplitName) -> Iterator[dict[str, Any]]:
        """Batches whose labels are some class of the model's, as it may not have the clips'."""
        for batch in self.data.loader(split):
            yield {**batch, "label": torch.zeros_like(batch["label"])}

    def values(self, scores: Scores) -> Floats:
        """Relevance [N, U] under the configured metric and target."""
        return scores.per_clip(self.cfg.metric, self.cfg.target)

    def batches(self, split: SplitName) -> Iterator[tuple[Tensor, list[int]]]:
        """Clips [B, 3, T, H, W] as the model takes them, and their numbers in the split."""
        for batch in self.data.loader(split):
            yield self._for_model(batch["clips"][:, 0]), batch["video"].tolist()

    def clip(self, split: SplitName, number: int) -> Tensor:
        """One clip, [1, 3, T, H, W], as the model takes it."""
        item = self.data.splits[split].evaluating()[number]
        return self._for_model(item["clips"][:1])

    def _for_model(self, clips: Tensor) -> Tensor:
        return clips.to(next(self.model.parameters()))

    def frames(self, clip: Tensor) -> pictures.Frames:
        """A clip [1, 3, T, H, W] as pictures [T, H, W, 3]."""
        spec = self.data.spec
        return pictures.frames_of(clip[0], spec.mean, spec.std)

    def label(self, split: SplitName, number: int) -> int:
        """The number of a clip's class among :attr:`class_names`."""
        return self.data.splits[split].clips[number].label

    def label_name(self, split: SplitName, number: int) -> str:
        return self.class_names[self.label(split, number)]

    def video_name(self, split: SplitName, number: int) -> str:
        """A clip's file, as the dataset's directory has it, and of a part of it the span."""
        return self.data.splits[split].name(number)


class Study:
    """What an explanation works with, and where it puts what it finds.

    Args:
        cfg: the command's configuration.
        run: open; its trainer's device and precision are what models run on and in.

    Attributes:
        leaked: checkpoint and dataset -> how many clips of which split a model was trained on.
    """

    def __init__(self, cfg: Evaluate, run: Run) -> None:
        self.cfg = cfg
        self.run = run
        self.trainer = run.trainer()
        self.leaked: dict[str, dict[str, int]] = {}

    @property
    def directory(self) -> Path:
        """Where files go."""
        return self.run.directory

    def load(
        self,
        ckpt: str | None = None,
        other_dataset: bool = False,
        same_classes: bool = True,
    ) -> Probe:
        """A model and the clips that it is shown.

        Args:
            ckpt: the checkpoint; default: ``cfg.ckpt``.
            other_dataset: whether the clips are of ``cfg.other_dataset``.
            same_classes: whether the clips' classes must be the checkpoint's.
        """
        path = Path(str(ckpt or self.cfg.ckpt))
        classifier = VideoClassifier.load(path)
        self.trainer.precision_plugin.convert_module(classifier)
        cfg = self.cfg.on_other_dataset() if other_dataset else self.cfg
        subject = subject_of(
            cfg,
            path,
            classifier,
            same_classes=cfg.class_map is not None or (same_classes and cfg.same_classes),
        )
        if subject.leakage:
            self.leaked[f"{path} on {subject.data.name}"] = subject.leakage
        return Probe(
            self.cfg,
            classifier.to(self.trainer.strategy.root_device),
            subject.data,
            self.trainer.precision_plugin.forward_context,
            str(self.trainer.precision),
            self.run.store(),
        )

    def picture(self, name: str) -> Path:
        """Sends a picture that was written to the run directory to W&B."""
        self.run.tracker.image(f"explain/{Path(name).stem}", self.directory / name)
        return self.directory / name

    def table(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """The same rows as a CSV in the run directory and as a table in W&B."""
        write_csv(self.directory / f"{name}.csv", header, [[_short(v) for v in r] for r in rows])
        self.run.tracker.table(f"explain/{name}", header, rows)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
