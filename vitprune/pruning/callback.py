"""The Lightning callback that has smaller models answer the very clips of a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.models.finite import names_of
from vitprune.pruning.comparison import FULL, Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs
from vitprune.training.classifier import VideoClassifier, at_once_of, view_probabilities


@dataclass(frozen=True)
class Compared:
    """What all models answer and cost.

    Attributes:
        test: their answers to the test clips.
        val: those to the validation clips, if there were any.
        costs: name of a model -> what it costs.
        seconds: wall-clock time by phase: ``validate`` (if there were validation clips),
            ``evaluate``, ``cost``.
    """

    test: Comparison
    val: Comparison | None
    costs: Mapping[str, Cost]
    seconds: Mapping[str, float]

    def described(self) -> dict[str, Any]:
        """What ``results.json`` says of it: of each model by its name."""
        described: dict[str, Any] = {
            name: {**answers.accuracy(), **asdict(self.costs[name])}
            for name, answers in self.test.models.items()
        }
        if self.val is not None:
            figures = {name: answers.accuracy() for name, answers in self.val.models.items()}
            described["val"] = {"videos": self.val.videos, **figures}
        return described


class ModelComparison(pl.Callback):
    """Has other models answer the same test clips as the one that is tested.

    Give it to ``trainer.test(classifier, loader, callbacks=[...])``: with every batch the others
    answer the clips that ``classifier`` just answered; at the end it measures what all of them
    cost, in turns. The result is in :attr:`outcome`.

    Args:
        others: name -> a model with the same classes and clip settings.
        validation: gives batches of other clips that all models shall answer, too, as the test
            answers must not choose among models; in a process group each process's share. None
            for none.
    """

    def __init__(
        self,
        others: Mapping[str, VideoClassifier],
        validation: Callable[[], Iterable[Mapping[str, Tensor]]] | None = None,
    ) -> None:
        self.others = others
        self._validation_clips = validation
        self._outcome: Compared | None = None

    @property
    def outcome(self) -> Compared:
        """What was found.

        Raises:
            RuntimeError: the test has not been run.
        """
        if self._outcome is None:
            raise RuntimeError("no outcome yet: run trainer.test with this callback first")
        return self._outcome

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        for other in self.others.values():
            other.eval().to(pl_module.device)
        self._paired = self._nobody().to(pl_module.device)
        self._seconds: dict[str, float] = {}
        self._start = time.perf_counter()
        self._val: Comparison | None = None
        if self._validation_clips is not None:
            self._val = self._validate(trainer, pl_module, self._validation_clips())
            began, self._start = self._start, time.perf_counter()
            self._seconds["validate"] = self._start - began

    def _nobody(self) -> PairedAccuracy:
        return PairedAccuracy((FULL, *self.others))

    def _validate(
        self,
        trainer: pl.Trainer,
        classifier: VideoClassifier,
        batches: Iterable[Mapping[str, Tensor]],
    ) -> Comparison:
        paired = self._nobody().to(classifier.device)
        like = next(classifier.parameters())
        for batch in batches:
            clips, names = batch["clips"].to(like), names_of(batch)
            with trainer.precision_plugin.forward_context(), torch.no_grad():
                found = [
                    view_probabilities(model.model, clips, names, at_once_of(batch))
                    for model in (classifier, *self.others.values())
                ]
            video, label = (batch[key].to(like.device) for key in ("video", "label"))
            paired.update(video, label, *found)
        return paired.compute()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        with trainer.precision_plugin.forward_context():
            found = [
                view_probabilities(other.model, batch["clips"], names_of(batch), at_once_of(batch))
                for other in self.others.values()
            ]
        self._paired.update(batch["video"], batch["label"], outputs["probabilities"], *found)
        self._clip: Tensor = batch["clips"][0, :1]

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        test = self._paired.compute()
        evaluated = time.perf_counter()
        self._seconds["evaluate"] = evaluated - self._start
        models = {FULL: pl_module, **self.others}
        with torch.inference_mode():
            found = costs(
                [model.model for model in models.values()],
                self._clip,
                trainer.precision_plugin.forward_context,
            )
        self._seconds["cost"] = time.perf_counter() - evaluated
        by_name = dict(zip(models, found, strict=True))
        self._outcome = Compared(test, self._val, by_name, self._seconds)
