"""``train.py``: fine-tune a model on a dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from pytorch_lightning.callbacks import ModelCheckpoint

from vitprune.data import VideoDataModule
from vitprune.errors import InputError
from vitprune.results.reading import left_out
from vitprune.results.writing import BEST
from vitprune.tasks.data import build_data, look_through
from vitprune.tasks.outputs import dataset_asset
from vitprune.tasks.run import Run, build, surroundings
from vitprune.tracking import lineage
from vitprune.training import Provenance, VideoClassifier
from vitprune.training.attempt import Attempt, exclusive
from vitprune.training.callbacks import LastEpochValidated, RandomState
from vitprune.training.probing import LinearProbing
from vitprune.training.provenance import seen_by_weights

if TYPE_CHECKING:
    from vitprune.launch.configuration import FineTuning, Train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tuning came to; its fields are the keys of ``results.json``.

    Attributes:
        ckpt: the best epoch's checkpoint.
        model: its specification.
        dataset: name and classes, how many clips its splits have, and what was left out.
        val_top1: its Top-1 on the validation split, in [0, 1], the best of all epochs validated.
        seed: of the job.
        environment: versions and machine.
    """

    ckpt: str
    model: dict[str, Any]
    dataset: dict[str, Any]
    val_top1: float
    seed: int
    environment: dict[str, Any]


def train(cfg: Train, run: Run) -> FineTuned:
    """Fine-tune ``cfg.model`` on ``cfg.dataset``."""
    with exclusive(run.directory):
        return fine_tune(cfg, build_data(cfg), run)


def fine_tune(cfg: FineTuning, data: VideoDataModule, run: Run) -> FineTuned:
    """The same with data that are ready, by a job that holds the directory."""
    run.seed()
    look_through(cfg, data, ["train"])
    look_through(cfg, data, ["val", "test"], decode=True)  # hours lie between here and there
    classifier = new_classifier(cfg, data)
    attempt = Attempt(run.directory, cfg.plain(), data.class_names, classifier.provenance)
    callbacks = {name: instantiate(callback) for name, callback in cfg.callbacks.items()}
    check_keeps_best(callbacks)
    for callback in callbacks.values():
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = str(attempt.folder)
    probing = [LinearProbing()] if cfg.model.recipe.linear_probing else []
    with run:
        trainer = run.trainer(
            [*callbacks.values(), *probing, RandomState(), LastEpochValidated()], attempt.logger()
        )
        trainer.fit(classifier, datamodule=data, ckpt_path=attempt.resume_from)
        if trainer.interrupted:
            raise KeyboardInterrupt
        if callbacks["checkpoint"].best_model_score is None:
            raise InputError(
                "fine-tuning ended without a validation, so there is no best epoch; leave "
                "trainer.fast_dev_run, trainer.limit_val_batches and trainer.max_steps out"
            )
        best = run.directory / BEST
        coverage = data.coverage()
        results = FineTuned(
            ckpt=str(best),
            model=asdict(classifier.model.spec),
            dataset={"name": data.name, "classes": data.class_names, **coverage},
            val_top1=float(callbacks["checkpoint"].best_model_score),
            seed=cfg.seed,
            environment=surroundings(trainer),
        )
        if trainer.is_global_zero:
            attempt.finish(asdict(results))
            run.tracker.summary(asdict(results))
            run.tracker.takes(dataset_asset(data))
            run.tracker.makes(lineage.checkpoint(cfg.model.name, data.name, best))
        trainer.strategy.barrier()  # the other processes load what the first has moved
    if line := left_out({"dataset": results.dataset}):
        log.info("Left out: %s", line)
    log.info("Fine-tuned: Top-1 %.2f %% on the val split, %s", 100 * results.val_top1, best)
    return results


def check_keeps_best(callbacks: Mapping[str, Any]) -> None:
    """Refuse callbacks by which no best epoch would be kept.

    Raises:
        InputError: says which callback is missing.
    """
    keeper = callbacks.get("checkpoint")
    if not isinstance(keeper, ModelCheckpoint) or f"{keeper.filename}.ckpt" != BEST:
        raise InputError(
            "callbacks.checkpoint must be a ModelCheckpoint whose filename is best; "
            "conf/callbacks/default.yaml has one"
        )


def new_classifier(cfg: FineTuning, data: VideoDataModule) -> VideoClassifier:
    """The model that is to be fine-tuned, which knows what it is going to be trained on."""
    model = build("model", cfg.model.node(), num_classes=data.num_classes)
    model.order_classes(data.class_names)
    model.checkpointing = cfg.model.checkpointing
    if cfg.model.compile:
        model.compile(dynamic=False)  # in place: names of parameters and checkpoints stay
    before = seen_by_weights(cfg.model.weights) if cfg.model.weights else []
    provenance = Provenance(
        cfg.fine_tuning(),
        {name: split.listing() for name, split in data.splits.items()},
        [*before, *data.splits["train"].excerpts()],
    )
    recipe = cfg.model.recipe.model_dump(exclude={"epochs", "validate_every", "linear_probing"})
    settings = data.clip_settings()
    return VideoClassifier(model, data.class_names, settings, provenance=provenance, **recipe)
