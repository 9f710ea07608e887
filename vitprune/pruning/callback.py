"""The Lightning callback that turns ``trainer.test`` into the whole pruning experiment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.importance import ablate_sets
from vitprune.models.chain import drop_layers
from vitprune.models.finite import names_of
from vitprune.pruning.comparison import Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs
from vitprune.pruning.strategy import Plan
from vitprune.training.classifier import VideoClassifier, view_probabilities


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
    """Scores the layers, drops k of them, and has both models answer the same test clips.

    Give it to ``trainer.test(classifier, loader, callbacks=[...])``: before the first test batch
    it lets ``plan`` score ``classifier`` and builds the pruned model; with every batch it lets the
    pruned model answer the clips that the full one just answered; at the end it measures what both
    cost.
    ``classifier`` itself is left as it was. The result is in :attr:`outcome`.

    Args:
        plan: decides which layers go, see :mod:`vitprune.pruning.strategy`.
        validation: gives batches of other clips that both models shall answer, too, as the test
            answers must not choose among plans; in a process group each process's share. None
            for none.
    """

    def __init__(
        self,
        plan: Callable[[VideoClassifier], Plan],
        validation: Callable[[], Iterable[Mapping[str, Tensor]]] | None = None,
    ) -> None:
        self._decide = plan
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
        self.plan = self._decide(pl_module)
        self._pruned = pl_module.with_model(drop_layers(pl_module.model, self.plan.dropped)).eval()
        self._pruned.to(pl_module.device)
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
        assert self.plan is not None
        paired = PairedAccuracy().to(classifier.device)
        like = next(classifier.parameters())
        for batch in batches:
            clips = batch["clips"].to(like)
            with trainer.precision_plugin.forward_context():
                logits = ablate_sets(classifier.model, clips.flatten(0, 1), [(), self.plan.dropped])
            views = logits.float().softmax(-1).unflatten(1, clips.shape[:2])
            full, pruned = views.mean(2)
            paired.update(
                batch["video"].to(like.device), batch["label"].to(like.device), full, pruned
            )
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
            pruned = view_probabilities(self._pruned.model, batch["clips"], names_of(batch))
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
