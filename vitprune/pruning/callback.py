"""The Lightning callback that turns ``trainer.test`` into the whole pruning experiment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.models.finite import names_of
from vitprune.pruning.comparison import Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs
from vitprune.pruning.strategy import Plan
from vitprune.training.classifier import VideoClassifier, at_once_of, view_probabilities


@dataclass(frozen=True)
class PruningOutcome:
    """What one pruning experiment found.

    Attributes:
        plan: which layers went.
        pruned: the smaller model.
        comparison: both models' answers to the test clips.
        validation: those to the validation clips, if there were any.
        full_cost: what the full model costs.
        pruned_cost: what the pruned one costs.
        seconds: wall-clock time by phase: ``score``, ``validate`` (if there were validation
            clips), ``evaluate``, ``cost``.
    """

    plan: Plan
    pruned: VideoClassifier
    comparison: Comparison
    validation: Comparison | None
    full_cost: Cost
    pruned_cost: Cost
    seconds: Mapping[str, float]

    def described(self) -> dict[str, Any]:
        """What ``results.json`` says of it."""
        answers = self.comparison
        described: dict[str, Any] = {
            "dropped": list(self.plan.dropped),
            "full": {**answers.full(), **asdict(self.full_cost)},
            "pruned": {**answers.pruned(), **asdict(self.pruned_cost)},
            "paired": answers.paired(),
        }
        if (chosen := self.validation) is not None:
            described["val"] = {
                "videos": chosen.videos, "full": chosen.full(), "pruned": chosen.pruned()
            }  # fmt: skip
        return described


class LayerPruning(pl.Callback):
    """Makes a smaller model, and has it answer the same test clips as the full one.

    Give it to ``trainer.test(classifier, loader, callbacks=[...])``: before the first test batch
    it lets ``smaller`` make one of ``classifier``, on the trainer's device; with every batch the
    smaller one answers the clips that the full one just answered; at the end it measures what both
    cost. ``classifier`` itself is left as it was. The result is in :attr:`outcome`.

    Args:
        smaller: scores the full model, decides which layers go, drops them, and does whatever else
            a smaller model needs: a plan, see :mod:`vitprune.pruning.strategy`, and the model.
        validation: gives batches of other clips that both models shall answer, too, as the test
            answers must not choose among plans; in a process group each process's share. None
            for none.
    """

    def __init__(
        self,
        smaller: Callable[[VideoClassifier], tuple[Plan, VideoClassifier]],
        validation: Callable[[], Iterable[Mapping[str, Tensor]]] | None = None,
    ) -> None:
        self._smaller = smaller
        self._validation_clips = validation
        self.plan: Plan | None = None
        self._outcome: PruningOutcome | None = None

    @property
    def outcome(self) -> PruningOutcome:
        """What was found.

        Raises:
            RuntimeError: the test has not been run.
        """
        if self._outcome is None:
            raise RuntimeError("no outcome yet: run trainer.test with this callback first")
        return self._outcome

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        start = time.perf_counter()
        self.plan, self._pruned = self._smaller(pl_module)
        self._pruned.eval().to(pl_module.device)
        self._paired = PairedAccuracy().to(pl_module.device)
        self._start = time.perf_counter()
        self._seconds = {"score": self._start - start}
        self._validation: Comparison | None = None
        if self._validation_clips is not None:
            self._validation = self._validate(trainer, pl_module, self._validation_clips())
            scored, self._start = self._start, time.perf_counter()
            self._seconds["validate"] = self._start - scored

    def _validate(
        self,
        trainer: pl.Trainer,
        classifier: VideoClassifier,
        batches: Iterable[Mapping[str, Tensor]],
    ) -> Comparison:
        paired = PairedAccuracy().to(classifier.device)
        like = next(classifier.parameters())
        for batch in batches:
            clips, names = batch["clips"].to(like), names_of(batch)
            with trainer.precision_plugin.forward_context(), torch.no_grad():
                full, pruned = (
                    view_probabilities(model.model, clips, names, at_once_of(batch))
                    for model in (classifier, self._pruned)
                )
            video, label = (batch[key].to(like.device) for key in ("video", "label"))
            paired.update(video, label, full, pruned)
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
            pruned = view_probabilities(
                self._pruned.model, batch["clips"], names_of(batch), at_once_of(batch)
            )
        full = outputs["probabilities"]
        self._paired.update(batch["video"], batch["label"], full, pruned)
        self._clip: Tensor = batch["clips"][0, :1]

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        assert self.plan is not None
        comparison = self._paired.compute()
        evaluated = time.perf_counter()
        self._seconds["evaluate"] = evaluated - self._start
        with torch.inference_mode():
            full, pruned = costs(
                [pl_module.model, self._pruned.model],
                self._clip,
                trainer.precision_plugin.forward_context,
            )
        self._seconds["cost"] = time.perf_counter() - evaluated
        self._outcome = PruningOutcome(
            plan=self.plan,
            pruned=self._pruned,
            comparison=comparison,
            validation=self._validation,
            full_cost=full,
            pruned_cost=pruned,
            seconds=self._seconds,
        )
