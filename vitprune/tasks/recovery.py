"""Giving a smaller model back what dropping cost, as a stage of prune.py."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor

from vitprune.data import VideoDataModule
from vitprune.data.loading import KeptBatches
from vitprune.files import file_digest
from vitprune.models import build_model
from vitprune.models.bridge import take_apart
from vitprune.models.chain import VideoTransformer
from vitprune.recovery import Distillation, fit_bridges
from vitprune.recovery.linear import with_room
from vitprune.results.writing import BEST
from vitprune.tasks.run import Run
from vitprune.tasks.train import fit
from vitprune.training import VideoClassifier
from vitprune.training.attempt import Attempt

if TYPE_CHECKING:
    from vitprune.launch.configuration import Linear, Prune, Trained

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovered:
    """A recovered model, and what ``results.json`` says of how it came about.

    Attributes:
        classifier: the model.
        clips: of how many clips it learnt.
        seconds: that it took.
        found: what else there is to say.
    """

    classifier: VideoClassifier
    clips: int
    seconds: float
    found: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """As ``results.json`` has it."""
        return {"clips": self.clips, "seconds": self.seconds, **self.found}


class Recovering:
    """Recovers smaller models of one full model, as ``cfg.recover`` says.

    Args:
        cfg: of the job.
        run: of the job.
        data: set up.
        full: the model that they are made of, and learn from.
        path: its checkpoint.
    """

    def __init__(
        self, cfg: Prune, run: Run, data: VideoDataModule, full: VideoClassifier, path: Path
    ) -> None:
        self.cfg, self.run, self.data, self.full, self.path = cfg, run, data, full, path

    def __call__(self, pruned: VideoClassifier) -> Recovered:
        """A recovered copy of ``pruned``; every process of a job must call it."""
        start = time.perf_counter()
        if self.cfg.recover.name == "linear":
            found = self._linear(pruned, cast("Linear", self.cfg.recover))
        else:
            found = self._trained(pruned, cast("Trained", self.cfg.recover))
        classifier, clips, rest = found
        return Recovered(classifier, clips, time.perf_counter() - start, rest)

    def with_room(self, pruned: VideoTransformer) -> VideoTransformer:
        """As large as recovery may make a smaller model: bridges stand wherever they will."""
        how = self.cfg.recover
        bridges: Linear | None = None
        if how.name == "linear":
            bridges = cast("Linear", how)
        elif how.name != "none" and cast("Trained", how).begin == "linear":
            bridges = cast("Trained", how).bridges
        if bridges is None or bridges.bridge == "none":
            return pruned
        # Which one auto takes is not known yet; a matrix is the largest.
        kind = "full" if bridges.bridge == "auto" else bridges.bridge
        return with_room(pruned, self.full.model, kind, bridges.rank)

    def _linear(
        self, pruned: VideoClassifier, how: Linear
    ) -> tuple[VideoClassifier, int, dict[str, Any]]:
        def work(trainer: pl.Trainer) -> Any:
            device = trainer.strategy.root_device
            loader = self.data.loader(how.split, share=True, most=how.clips)
            # Both models are looked at where the full one is.
            like = next(self.full.to(device).parameters())
            return fit_bridges(
                pruned.to(device).model,
                self.full.model,
                _Clips(KeptBatches(loader), like),
                kind=how.bridge,
                rank=how.rank,
                classifier=how.classifier,
                autocast=trainer.precision_plugin.forward_context,
                progress=trainer.is_global_zero,
            )

        fitted = self.run.at_work(self.full, work)
        clips = self.data.spread(how.split, how.clips)
        log.info(
            "Bridges of kind %s behind layers %s, projections of %s; divergence from the full "
            "model %.3g, was %.3g",
            fitted.kind, ", ".join(map(str, fitted.bridges)) or "none",
            ", ".join(fitted.projections) or "none", fitted.divergence, fitted.divergence_before,
        )  # fmt: skip
        found = {
            "bridge": fitted.kind,
            "bridges": {str(place): share for place, share in fitted.bridges.items()},
            "projections": dict(fitted.projections),
            "folded": list(fitted.folded),
            "divergence": fitted.divergence,
            "divergence_before": fitted.divergence_before,
        }
        seen = self.data.splits[how.split].excerpts(clips)
        return self._with_provenance(pruned.with_model(fitted.model), seen), len(clips), found

    def _trained(
        self, pruned: VideoClassifier, how: Trained
    ) -> tuple[VideoClassifier, int, dict[str, Any]]:
        cfg, data = self.cfg, self.data
        epochs = max(1, ceil(how.share * cfg.model.recipe.epochs))
        begun: dict[str, Any] = {}
        if how.begin == "linear":
            begun_with, _, begun = self._linear(pruned, how.bridges)
            pruned = pruned.with_model(begun_with.model)
        student = self._with_provenance(pruned, data.splits["train"].excerpts())
        if how.begin == "scratch":
            student = student.with_model(self._anew(pruned))
        elif how.begin == "dropped":
            student = student.with_model(copy.deepcopy(pruned.model))  # it is trained in place
        recipe = cfg.model.recipe.of_classifier() | ({"lr": how.lr} if how.lr else {})
        if how.name == "distill":
            module: VideoClassifier = Distillation(
                student,
                self.full.model,
                temperature=how.temperature,
                features=how.features,
                labels=how.labels,
                **recipe,
            )
        else:
            module = VideoClassifier(
                student.model, student.class_names, student.clip_settings,
                provenance=student.provenance, **recipe,
            )  # fmt: skip
        directory = self.run.directory / "recovery" / f"{len(pruned.model.dropped)}-dropped"
        settings = {
            **cfg.plain(),
            "begun_with": {
                "recover": how.plain(),
                "full": file_digest(self.path),
                "dropped": [*map(str, pruned.model.dropped)],
                "epochs": epochs,
            },
        }
        attempt = Attempt(directory, settings, data.class_names, module.provenance)
        early = (
            [EarlyStopping("val/top1", mode="max", patience=how.patience)] if how.patience else []
        )
        every = 1 if early else min(cfg.model.recipe.validate_every, epochs)
        trainer, val_top1 = fit(
            module.train(), cfg, data, self.run, attempt, early,
            max_epochs=epochs, check_val_every_n_epoch=every,
        )  # fmt: skip
        found = {**begun, "epochs": trainer.current_epoch, "val_top1": val_top1}
        if trainer.is_global_zero:
            attempt.finish(found)
        trainer.strategy.barrier()  # the other processes load what the first has moved
        clips = len(data.splits["train"])
        return VideoClassifier.load(directory / BEST), clips, found

    def _anew(self, pruned: VideoClassifier) -> Any:
        """A model of the same form with weights as they are before any training."""
        torch.manual_seed(self.cfg.seed)
        spec = pruned.model.spec
        model = build_model(
            spec.name, spec.variant, num_classes=spec.num_classes, num_frames=spec.num_frames,
            image_size=spec.image_size, config=spec.config,
        )  # fmt: skip
        model.group_neurons(pruned.model.neuron_groups)
        return take_apart(model, pruned.model.dropped, ())

    def _with_provenance(self, classifier: VideoClassifier, clips: Any) -> VideoClassifier:
        if classifier.provenance is None:
            return classifier
        record = {
            "recover": self.cfg.recover.plain(),
            "dropped": [*map(str, classifier.model.dropped)],
        }
        return VideoClassifier(
            classifier.model,
            classifier.class_names,
            classifier.clip_settings,
            provenance=classifier.provenance.after(record, clips),
        )


class _Clips:
    """The clips of batches, one view a video, on a device."""

    def __init__(self, batches: KeptBatches, like: Tensor) -> None:
        self.batches, self.like = batches, like

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.batches:
            yield batch["clips"].flatten(0, 1).to(self.like)
