"""What a job is about: a checkpoint, and the clips that it is shown."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from vitprune.data import VideoDataModule
from vitprune.errors import InputError
from vitprune.files import file_digest, files_digest
from vitprune.importance import units_of
from vitprune.models import VideoTransformer
from vitprune.results.paper import counted
from vitprune.results.writing import BEST
from vitprune.tasks.checkpoints import (
    check_same_clips,
    check_same_fine_tuning,
    leakage,
    with_checkpoint,
)
from vitprune.tasks.data import build_data, look_through
from vitprune.tasks.run import Run, build
from vitprune.tasks.train import fine_tune
from vitprune.training import VideoClassifier
from vitprune.training.attempt import exclusive

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate, Prune

log = logging.getLogger(__name__)

AnyJob = TypeVar("AnyJob", "Prune", "Evaluate")


@dataclass(frozen=True)
class Subject(Generic[AnyJob]):
    """A checkpoint and the clips that it is shown, each found to be what the job asked for.

    Attributes:
        cfg: the configuration as it really is, with what the checkpoint decides.
        path: of the checkpoint.
        classifier: what it holds, in eval mode, on the CPU.
        data: set up, with clips as the classifier wants them.
        leakage: how many clips of which split the classifier was trained on; None for none.
    """

    cfg: AnyJob
    path: Path
    classifier: VideoClassifier
    data: VideoDataModule
    leakage: dict[str, int] | None

    def described(self) -> dict[str, Any]:
        """What ``results.json`` says of it."""
        provenance = self.classifier.provenance
        return {
            "ckpt": str(self.path),
            "ckpt_digest": file_digest(self.path),
            "fine_tuning": None if provenance is None else dict(provenance.settings),
            "clip_settings": self.classifier.clip_settings,
            "dataset": {
                "name": self.data.name,
                "classes": self.data.class_names,
                "files": files_digest(self.data.root),
                **self.data.coverage(),
            },
            "leakage": self.leakage,
            "settings": self.cfg.settings(),
        }


def pruning_subject(cfg: Prune, run: Run) -> Subject[Prune]:
    """The checkpoint that is to be pruned, and its clips.

    It is the one that ``ckpt`` names, or that of train.py for the same model and dataset; where
    there is none, it is fine-tuned first.

    Raises:
        InputError: the checkpoint is not what was asked for, or has seen what it is tested on.
    """
    path = Path(cfg.ckpt) if cfg.ckpt else Path(cfg.fine_tuned) / BEST
    if cfg.ckpt or path.is_file():
        log.info("Using the checkpoint %s", path)
    else:
        with torch.device("meta"):  # nothing to fill with weights
            check_units(cfg, build("model", cfg.model.node()))
        log.info("No checkpoint at %s: fine-tuning %s first", path, cfg.model.name)
        with exclusive(path.parent):
            if not path.is_file():  # nobody else made it meanwhile
                fine_tune(cfg, build_data(cfg), run.beside("train", path.parent))
    classifier = VideoClassifier.load(path)
    if classifier.model.spec.name != cfg.model.name:
        of_hub = cfg.model.architecture is not None
        raise InputError(
            f"checkpoint {path} holds {classifier.model.spec.name}, not model={cfg.model.name}"
            + (f"; give model.architecture={classifier.model.spec.name}" if of_hub else "")
        )
    check_units(cfg, classifier.model)
    if not cfg.ckpt:
        check_same_fine_tuning(path, classifier, cfg)
    return subject_of(cfg, path, classifier)


def subject_of(
    cfg: AnyJob, path: Path, classifier: VideoClassifier, *, same_classes: bool = True
) -> Subject[AnyJob]:
    """A checkpoint with the clips of ``cfg.dataset``, looked through before anything rests on them.

    Args:
        cfg: of prune.py or evaluate.py.
        path: of the checkpoint.
        classifier: what it holds.
        same_classes: whether the clips' classes must be the checkpoint's.

    Raises:
        InputError: data, classes or videos are not as they should be, or were trained on.
    """
    if cfg.ckpt:
        cfg = with_checkpoint(cfg, path, classifier)
    data = build_data(cfg, classifier, same_classes=same_classes)
    if not cfg.ckpt:
        check_same_clips(path, classifier, data)
    splits = cfg.evaluated_splits()
    look_through(cfg, data, splits, decode=data.on_error == "skip")
    leaked = leakage(path, classifier, data, splits, allowed=cfg.allow_leakage)
    return Subject(cfg, path, classifier, data, leaked)


def check_units(cfg: Prune, model: VideoTransformer) -> None:
    """Let a model's units be those that are asked for, and refuse to drop all of them, or more.

    Args:
        cfg: says of which scope they are, how many go, and into how many groups neurons go.
        model: whose neurons are divided, in place.

    Raises:
        InputError: says how many there are.
    """
    if cfg.neuron_groups is not None:
        try:
            model.group_neurons(cfg.neuron_groups)
        except ValueError as error:
            raise InputError(f"neuron_groups={cfg.neuron_groups}: {error}") from error
    there = len(units_of(model, cfg.scope))
    if cfg.k >= there:
        has = counted(there, cfg.scope)
        raise InputError(f"k={cfg.k} is out of range; the model has {has}: 1 to {there - 1}")
