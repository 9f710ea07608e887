"""``train.py``: fine-tune a model on a dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from pytorch_lightning.callbacks import ModelCheckpoint

from vitprune.data import VideoDataModule
from vitprune.errors import InputError
from vitprune.files import file_digest
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
    ckpt = cfg.begins_with()
    settings = {**cfg.plain(), **({"begun_with": file_digest(ckpt)} if ckpt else {})}
    attempt = Attempt(run.directory, settings, data.class_names, classifier.provenance)
    probing = [LinearProbing()] if cfg.model.recipe.linear_probing and not ckpt else []
    with run:
        trainer, val_top1 = fit(classifier, cfg, data, run, attempt, probing)
        best = run.directory / BEST
        coverage = data.coverage()
        results = FineTuned(
            ckpt=str(best),
            model=asdict(classifier.model.spec),
            dataset={"name": data.name, "classes": data.class_names, **coverage},
            val_top1=val_top1,
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


def fit(
    classifier: VideoClassifier,
    cfg: FineTuning,
    data: VideoDataModule,
    run: Run,
    attempt: Attempt,
    callbacks: Sequence[pl.Callback] = (),
    **settings: Any,
) -> tuple[pl.Trainer, float]:
    """Train until the end, or go on with what was begun; the best epoch's checkpoint is kept.

    Args:
        classifier: what is trained, in place.
        cfg: of the job.
        data: set up.
        run: of the job.
        attempt: where checkpoints go, and the one to go on from.
        callbacks: beside the configured ones.
        settings: of the trainer, where they are not the configured ones.

    Returns:
        The trainer, and the best epoch's Top-1 on the validation split, in [0, 1].
    """
    configured = {name: instantiate(callback) for name, callback in cfg.callbacks.items()}
    check_keeps_best(configured)
    for callback in configured.values():
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = str(attempt.folder)
    trainer = run.trainer(
        [*configured.values(), *callbacks, RandomState(), LastEpochValidated()],
        attempt.logger(),
        **settings,
    )
    trainer.fit(classifier, datamodule=data, ckpt_path=attempt.resume_from)
    if trainer.interrupted:
        raise KeyboardInterrupt
    score = configured["checkpoint"].best_model_score
    if score is None:
        raise InputError(
            "fine-tuning ended without a validation, so there is no best epoch; leave "
            "trainer.fast_dev_run, trainer.limit_val_batches and trainer.max_steps out"
        )
    return trainer, float(score)


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


def check_same_form(
    path: str, begun: VideoClassifier, cfg: FineTuning, data: VideoDataModule
) -> None:
    """Refuse a checkpoint to go on from that is of another model, other clips or other classes.

    Raises:
        InputError: says what differs.
    """
    spec = begun.model.spec
    asked = {"name": cfg.model.name, "num_frames": cfg.model.num_frames,
             "image_size": cfg.model.image_size}  # fmt: skip
    for key, value in asked.items():
        if (own := getattr(spec, key)) != value:
            raise InputError(
                f"model.{key}={value}, but checkpoint {path} has {key}={own}; fine-tune it with "
                + (f"model={own}" if key == "name" else f"model.{key}={own}")
            )
    if begun.class_names != data.class_names:
        raise InputError(
            f"checkpoint {path} has {len(begun.class_names)} classes that are not the "
            f"{len(data.class_names)} of {data.name}; to begin with its layers alone give it as "
            "model.weights"
        )


def new_classifier(cfg: FineTuning, data: VideoDataModule) -> VideoClassifier:
    """The model that is to be fine-tuned, which knows what it is going to be trained on."""
    ckpt = cfg.begins_with()
    begun = VideoClassifier.load(ckpt) if ckpt else None
    if begun is None:
        model = build("model", cfg.model.node(), num_classes=data.num_classes)
        model.order_classes(data.class_names)
    else:
        check_same_form(str(ckpt), begun, cfg, data)
        model = begun.model
    model.checkpointing = cfg.model.checkpointing
    if cfg.model.compile:
        model.compile(dynamic=False)  # in place: names of parameters and checkpoints stay
    weights = ckpt or cfg.model.weights
    before = seen_by_weights(weights) if weights else []
    provenance = Provenance(
        cfg.fine_tuning(),
        {name: split.listing() for name, split in data.splits.items()},
        [*before, *data.splits["train"].excerpts()],
        begun.provenance.recovered if begun and begun.provenance else (),
    )
    recipe = cfg.model.recipe.of_classifier()
    settings = data.clip_settings()
    return VideoClassifier(model, data.class_names, settings, provenance=provenance, **recipe)
