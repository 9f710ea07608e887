"""The three stories, told top-down: train, prune, evaluate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console

from vitprune.cells import BEST, files_digest, publishing
from vitprune.checkpoints import (
    check_same_clips,
    check_same_fine_tuning,
    evaluated_splits,
    leakage,
    with_checkpoint,
)
from vitprune.data import VideoDataModule
from vitprune.data.checking import check_videos
from vitprune.data.classes import read_class_map
from vitprune.errors import InputError
from vitprune.explanations import Load, Subject, explain
from vitprune.files import file_digest
from vitprune.finetuning import (
    Attempt,
    LastEpochValidated,
    RandomState,
    WholeCheckpoints,
    exclusive,
)
from vitprune.importance import Scores, ScoreStore, entry_name, measure_of, score
from vitprune.launch.configuration import Evaluate, FineTuning, Job, Prune, Train
from vitprune.launch.overrides import given_keys
from vitprune.models import VideoClassifier, VideoTransformer, build_model
from vitprune.progress import Progress
from vitprune.provenance import Provenance
from vitprune.pruning import (
    STRATEGIES,
    Comparison,
    Curve,
    DropCurve,
    LayerPruning,
    Plan,
    PruningOutcome,
    costs,
    random_orders,
)
from vitprune.pruning.curve import Orders
from vitprune.reporting import (
    interval_of,
    lineage,
    plot_curve,
    plot_relevance,
    print_comparison,
    print_summary,
    write_csv,
    write_json,
)
from vitprune.reporting.environment import environment
from vitprune.reporting.tracking import Tracker
from vitprune.settings import fine_tuning_of, settings_of

log = logging.getLogger(__name__)


def train(cfg: Train) -> Path:
    """Fine-tune ``cfg.model`` on ``cfg.dataset``; the best checkpoint's path is returned."""
    directory = Path(cfg.fine_tuned)
    with exclusive(directory):
        return _fine_tune(cfg, build_data(cfg), directory)


def prune(cfg: Prune) -> Mapping[str, Any]:
    """Score the layers, drop k of them, and compare both models on the test split.

    Returns:
        What ``results.json`` holds.
    """
    start = time.perf_counter()
    asked = settings_of(cfg.plain())
    directory = Path(HydraConfig.get().runtime.output_dir)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    path = Path(cfg.ckpt) if cfg.ckpt else Path(cfg.fine_tuned) / BEST
    if not cfg.ckpt and not path.is_file():
        _check_k(cfg.k, _num_layers(cfg))
        data = build_data(cfg)
        log.info("No checkpoint at %s: fine-tuning %s first", path, cfg.model.name)
        with exclusive(path.parent):
            if not path.is_file():  # nobody else made it meanwhile
                _fine_tune(cfg, data, path.parent)
    else:
        log.info("Using the checkpoint %s", path)
    classifier = VideoClassifier.load(path)
    if classifier.model.spec.name != cfg.model.name:
        raise InputError(
            f"checkpoint {path} holds {classifier.model.spec.name}, not model={cfg.model.name}"
        )
    _check_k(cfg.k, len(classifier.model.blocks))
    if cfg.ckpt:
        cfg = with_checkpoint(cfg, path, classifier, given_keys())
    else:
        check_same_fine_tuning(path, classifier, cfg)
    data = build_data(cfg, classifier)
    if not cfg.ckpt:
        check_same_clips(path, classifier, data)
    splits = evaluated_splits(cfg)
    leaked = leakage(path, classifier, data, splits, allowed=cfg.allow_leakage)
    _look_through(cfg, data, splits)
    ready = time.perf_counter()

    def rank(scores: Scores) -> list[int]:
        return [unit.layer for unit in scores.rank(cfg.metric, cfg.direction, cfg.target)]

    measured: list[Scores] = []

    def plan(classifier: VideoClassifier) -> Plan:
        score = _scorer(cfg, data, trainer, measured)
        return STRATEGIES[cfg.strategy](classifier.model, cfg.k, score, rank)

    # A search must not choose by the test split.
    chooses = (lambda: data.loader("val", share=True)) if cfg.objective else None
    pruning = LayerPruning(plan, chooses)
    curve = DropCurve(lambda: _orders(cfg, classifier, pruning.plan)) if cfg.curve else None
    with Tracker(_logger(cfg, directory, "prune")) as tracker:
        tracker.config(cfg.plain())
        callbacks = [callback for callback in (pruning, curve) if callback is not None]
        trainer = _trainer(cfg, directory, tracker, callbacks)
        trainer.test(classifier, datamodule=data, verbose=False)
        results = _results(cfg, path, classifier, data, pruning.outcome, trainer)
        results["seconds"] = {
            "prepare": ready - start,
            **pruning.outcome.seconds,
            "total": time.perf_counter() - start,
        }
        results |= {"leakage": leaked, "settings": settings_of(cfg.plain()), "asked": asked}
        if trainer.is_global_zero:
            with publishing(directory, results):
                if curve is not None and curve.curve is not None:
                    _report_curve(cfg, directory, tracker, curve.curve)
                _report(cfg, directory, tracker, results, pruning.outcome, data)
            _trace(cfg, directory, tracker, results, data, bool(measured))
    if trainer.is_global_zero:  # after W&B has said its own
        print_comparison(results)
        _say_where(directory)
    return results


def evaluate(cfg: Evaluate) -> Mapping[str, Any]:
    """Top-1, Top-5 and cost of a checkpoint on a dataset's test split, or what its heads do.

    Returns:
        What ``results.json`` holds.
    """
    asked = settings_of(cfg.plain())
    directory = Path(HydraConfig.get().runtime.output_dir)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.explain != "none":
        return _explain(cfg, directory)
    path = Path(str(cfg.ckpt))
    classifier = VideoClassifier.load(path)
    cfg = with_checkpoint(cfg, path, classifier, given_keys())
    data = build_data(cfg, classifier)
    splits = evaluated_splits(cfg)
    leaked = leakage(path, classifier, data, splits, allowed=cfg.allow_leakage)
    _look_through(cfg, data, splits)
    with Tracker(_logger(cfg, directory, "evaluate")) as tracker:
        tracker.config(cfg.plain())
        trainer = _trainer(cfg, directory, tracker, [])
        trainer.test(classifier, datamodule=data, verbose=False)
        metrics = trainer.callback_metrics  # test() returns those that a logger got
        classifier.to(trainer.strategy.root_device)  # the trainer has put it back on the CPU
        clip = data.splits["test"][0]["clips"][:1].to(next(classifier.parameters()))
        (cost,) = costs([classifier.model], clip, trainer.precision_plugin.forward_context)
        results = {
            **_checkpoint(path, classifier),
            "model": {**asdict(classifier.model.spec), "dropped": list(classifier.model.dropped)},
            "dataset": {**_data(data), "videos": len(data.splits["test"])},
            "top1": float(metrics["test/top1"]),
            "top5": float(metrics["test/top5"]),
            **asdict(cost),
            "clip_settings": classifier.clip_settings,
            "leakage": leaked,
            "environment": _environment(trainer),
            "settings": settings_of(cfg.plain()),
            "asked": asked,
        }
        if trainer.is_global_zero:
            with publishing(directory, results):
                pass
            tracker.summary(results)
    if trainer.is_global_zero:
        print_summary(
            f"{cfg.ckpt} on {cfg.dataset.name}",
            {
                "Top-1": f"{100 * results['top1']:.2f} %",
                "  95 % interval": interval_of(results["top1"], results["dataset"]["videos"]),
                "Top-5": f"{100 * results['top5']:.2f} %",
                "Test videos": str(results["dataset"]["videos"]),
                "Dropped layers": ", ".join(map(str, classifier.model.dropped)) or "none",
                "Parameters": f"{cost.parameters / 1e6:.3g} M",
                "FLOPs per clip": f"{cost.flops / 1e9:.3g} G",
                "Latency per clip": f"{cost.latency_ms:.3g} ms",
            },
        )
        _say_where(directory)
    return results


def _explain(cfg: Evaluate, directory: Path) -> Mapping[str, Any]:
    """``evaluate`` with ``explain=``: see :mod:`vitprune.explanations`."""
    with Tracker(_logger(cfg, directory, "explain")) as tracker:
        tracker.config(cfg.plain())
        trainer = _trainer(cfg, directory, tracker, [])  # for its device and precision
        results = explain(cfg, subjects(cfg, trainer), directory, tracker)
    _say_where(directory)
    return results


def subjects(cfg: Evaluate, trainer: pl.Trainer) -> Load:
    """What loads the models and data of an explanation, on the trainer's device."""

    def load(
        ckpt: str | None = None, other_dataset: bool = False, same_classes: bool = True
    ) -> Subject:
        path = Path(str(ckpt or cfg.ckpt))
        classifier = VideoClassifier.load(path)
        trainer.precision_plugin.convert_module(classifier)
        own = cfg
        if other_dataset:
            own = cfg.model_copy(update={"dataset": cfg.other_dataset, "class_map": None})
        own = with_checkpoint(own, path, classifier, given_keys())
        data = build_data(own, classifier, same_classes=same_classes and cfg.same_classes)
        splits = evaluated_splits(own)
        leaked = leakage(path, classifier, data, splits, allowed=cfg.allow_leakage)
        _look_through(own, data, splits)
        return Subject(
            cfg,
            classifier.to(trainer.strategy.root_device),
            data,
            own.dataset.name,
            trainer.precision_plugin.forward_context,
            leaked,
        )

    return load


def build_data(
    cfg: Job, classifier: VideoClassifier | None = None, *, same_classes: bool = True
) -> VideoDataModule:
    """The data of ``cfg.dataset``, ready to use; clips are taken as ``classifier`` wants them.

    Args:
        cfg: the command's configuration.
        classifier: what the clips are for.
        same_classes: whether the data's classes must be the classifier's.

    Raises:
        InputError: the data are not as they should be, or their classes are not the classifier's.
    """
    node = cfg.dataset.node()
    if classifier is not None:
        node |= classifier.clip_settings
    data: VideoDataModule = _built("dataset", node)
    data.prepare_data()
    data.setup()
    if classifier is not None and same_classes:
        file = getattr(cfg, "class_map", None)
        data.use_classes(classifier.class_names, read_class_map(file) if file else None)
    return data


def _look_through(cfg: Job, data: VideoDataModule, splits: Sequence[str], **how: Any) -> None:
    """Find out before the work starts which videos cannot be read."""
    remembered = Path(cfg.runs) / "cache" / "videos"
    check_videos([data.splits[name] for name in splits], remembered=remembered, **how)


def _provenance(cfg: FineTuning, data: VideoDataModule) -> Provenance:
    return Provenance(
        fine_tuning_of(cfg.plain()),
        {name: split.listing() for name, split in data.splits.items()},
        data.splits["train"].excerpts(),
    )


def _check_k(k: object, layers: int) -> None:
    if not isinstance(k, int) or not 1 <= k < layers:
        raise InputError(f"k={k} is out of range; the model has {layers} layers: 1 to {layers - 1}")


def _num_layers(cfg: FineTuning) -> int:
    with torch.device("meta"):
        return build_model(cfg.model.name, cfg.model.variant).num_layers


def _fine_tune(cfg: FineTuning, data: VideoDataModule, directory: Path) -> Path:
    _look_through(cfg, data, ["train"])
    _look_through(cfg, data, ["val", "test"], decode=True)  # hours lie between here and there
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    model = build_model(
        cfg.model.name,
        cfg.model.variant,
        num_classes=data.num_classes,
        num_frames=cfg.model.num_frames,
        image_size=cfg.model.image_size,
        weights=cfg.model.weights,
    )
    model.checkpointing = cfg.model.checkpointing
    if cfg.model.compile:
        model.compile(dynamic=False)  # in place: names of parameters and checkpoints stay
    classifier = VideoClassifier(
        model,
        data.class_names,
        data.clip_settings(),
        provenance=_provenance(cfg, data),
        **cfg.model.recipe.model_dump(exclude={"epochs", "validate_every"}),
    )
    callbacks = {name: instantiate(callback) for name, callback in cfg.callbacks.items()}
    checkpoint = callbacks["checkpoint"]
    attempt = Attempt(directory, cfg.plain())
    for callback in callbacks.values():
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = str(attempt.folder)
    with Tracker(_logger(cfg, directory, "train")) as tracker:
        tracker.config(cfg.plain())
        callbacks |= {"random_state": RandomState(), "last_epoch": LastEpochValidated()}
        trainer = _trainer(cfg, directory, tracker, list(callbacks.values()), attempt.logger())
        trainer.fit(classifier, datamodule=data, ckpt_path=attempt.resume_from)
        if trainer.interrupted:
            raise KeyboardInterrupt
        best = checkpoint.best_model_score
        results = {
            "ckpt": str(directory / BEST),
            "model": asdict(model.spec),
            "dataset": {"name": cfg.dataset.name, "classes": data.class_names},
            "val_top1": float(best),
            "seed": cfg.seed,
            "environment": _environment(trainer),
        }
        if trainer.is_global_zero:
            attempt.finish(results)
            tracker.summary(results)
            tracker.takes(_dataset(cfg, data))
            tracker.makes(lineage.checkpoint(cfg.model.name, cfg.dataset.name, directory / BEST))
        trainer.strategy.barrier()  # the other processes load what the first has moved
    log.info("Fine-tuned: Top-1 %.2f %% on the val split, %s", 100 * best, directory / BEST)
    return directory / BEST


def _logger(cfg: Job, directory: Path, job: str) -> Any:
    """The configured logger, named after the job; runs of a sweep share a group."""
    if cfg.logger is None:
        return None
    group = experiment = None
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        experiment = hydra.runtime.choices.get("experiment")
        group = Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None
    model = cfg.model.name if isinstance(cfg, FineTuning) else None
    cell = [cfg.metric, cfg.direction] if isinstance(cfg, Prune) and job == "prune" else []
    return _built(
        "logger",
        cfg.logger.node(),
        save_dir=str(directory),
        name="-".join(filter(None, [job, cfg.dataset.name, model])),
        job_type=job,
        group=cfg.logger.group or group,
        tags=list(filter(None, [cfg.dataset.name, model, *cell, experiment])),
    )


def _trainer(
    cfg: Job,
    directory: Path,
    tracker: Tracker,
    callbacks: Sequence[pl.Callback],
    *loggers: Logger,
) -> pl.Trainer:
    loggers = loggers if tracker.logger is None else (tracker.logger, *loggers)
    return _built(
        "trainer",
        cfg.trainer.node(),
        plugins=[WholeCheckpoints(), *instantiate(cfg.trainer.plugins)],
        default_root_dir=str(directory),
        logger=list(loggers),
        callbacks=[Progress(leave=True), *callbacks],
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
    )


def _built(name: str, node: Any, /, **arguments: Any) -> Any:
    """``instantiate``, with what is wrong in the configuration said in one line."""
    try:
        return instantiate(node, **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, MisconfigurationException | ValueError | TypeError):
            line = str(cause).splitlines()[0]
            raise InputError(f"{name}: {line} (conf/{name} has what works)") from None
        raise


def _scorer(
    cfg: Prune, data: VideoDataModule, trainer: pl.Trainer, measured: list[Scores]
) -> Callable[[VideoTransformer], Scores]:
    """Scores a model on the calibration split, or finds its scores in the store.

    Those that had to be measured are added to ``measured``.
    """
    store = ScoreStore(Path(cfg.runs) / "cache" / "importance", enabled=cfg.cache)
    measure = measure_of(cfg.metric)
    settings: dict[str, Any] = {"seed": cfg.seed} if measure == "random" else {}

    def scorer(model: VideoTransformer) -> Scores:
        def compute() -> Scores:
            found = score(
                model,
                data.loader(cfg.calibration, share=True),
                cfg.scope,
                measure=measure,
                max_streams=cfg.max_streams,
                seed=cfg.seed,
                autocast=trainer.precision_plugin.forward_context,
                progress=trainer.is_global_zero,
            )
            measured.append(found)
            return found

        name = entry_name(
            model,
            data.fingerprint(cfg.calibration),
            scope=cfg.scope,
            measure=measure,
            precision=str(cfg.trainer.precision),
            **settings,
        )
        return store.get(name, compute)

    return scorer


def _orders(cfg: Prune, classifier: VideoClassifier, plan: Plan | None) -> Orders:
    """In which orders the layers of a curve go: the plan's, the opposite one, and at random."""
    assert plan is not None
    opposite = "highest" if cfg.direction == "lowest" else "lowest"
    ranking = plan.scores.rank(cfg.metric, opposite, cfg.target)
    layers = classifier.model.layers
    return {
        cfg.direction: [plan.dropped],
        opposite: [[unit.layer for unit in ranking[: cfg.k]]],
        "random": random_orders(layers, cfg.k, seeds=cfg.curve_seeds, seed=cfg.seed),
    }


def _results(
    cfg: Prune,
    checkpoint: Path,
    classifier: VideoClassifier,
    data: VideoDataModule,
    outcome: PruningOutcome,
    trainer: pl.Trainer,
) -> dict[str, Any]:
    comparison, validation = outcome.comparison, outcome.validation
    return {
        "model": asdict(classifier.model.spec),
        "dataset": _data(data),
        **_checkpoint(checkpoint, classifier),
        "metric": cfg.metric,
        "k": cfg.k,
        "direction": cfg.direction,
        "scope": cfg.scope,
        "target": cfg.target,
        "strategy": cfg.strategy,
        "calibration": {
            "split": cfg.calibration,
            "clips": len(outcome.plan.scores.clips),
        },
        "seed": cfg.seed,
        "precision": cfg.trainer.precision,
        "clip_settings": classifier.clip_settings,
        "dropped": list(outcome.plan.dropped),
        "full": {
            "top1": comparison.full_top(1),
            "top5": comparison.full_top(5),
            **asdict(outcome.full_cost),
        },
        "pruned": {
            "top1": comparison.pruned_top(1),
            "top5": comparison.pruned_top(5),
            **asdict(outcome.pruned_cost),
        },
        "paired": {
            "videos": comparison.videos,
            "right_to_wrong": comparison.right_to_wrong,
            "wrong_to_right": comparison.wrong_to_right,
            "p_value": comparison.p_value,
        },
        **({} if validation is None else {"val": _of_val(validation)}),
        "environment": _environment(trainer),
    }


def _of_val(answers: Comparison) -> dict[str, Any]:
    """Both models on the val split, for an objective."""
    return {
        "videos": answers.videos,
        "full": {"top1": answers.full_top(1), "top5": answers.full_top(5)},
        "pruned": {"top1": answers.pruned_top(1), "top5": answers.pruned_top(5)},
    }


def _report(
    cfg: Prune,
    directory: Path,
    tracker: Tracker,
    results: Mapping[str, Any],
    outcome: PruningOutcome,
    data: VideoDataModule,
) -> None:
    """Write a cell's files, all but ``results.json``, which says that the others are there."""
    outcome.pruned.save(directory / "pruned.ckpt")
    _report_relevance(cfg, directory, tracker, outcome.plan)
    _report_predictions(directory, tracker, outcome.comparison, data)
    tracker.summary(results)


def _report_relevance(cfg: Prune, directory: Path, tracker: Tracker, plan: Plan) -> None:
    scores = plan.scores
    scores.to_csv(directory / "scores.csv", cfg.target)
    scores.save(directory / "scores.npz")
    metrics = scores.metrics
    mean = {metric: scores.mean(metric, cfg.target) for metric in metrics}
    error = {metric: scores.standard_error(metric, cfg.target) for metric in metrics}
    plot_relevance(
        directory / "relevance.png",
        units=[str(unit) for unit in scores.units],
        mean=mean,
        standard_error=error,
        dropped=[str(layer) for layer in plan.dropped],
        title=f"Relevance of the layers: {cfg.model.name} on {cfg.dataset.name}",
        selected=cfg.metric,
    )
    tracker.image("relevance/chart", directory / "relevance.png")
    tracker.table(
        "relevance/layers",
        ["layer", *metrics, *(f"{metric} standard error" for metric in metrics), "dropped"],
        [
            [
                str(unit),
                *(float(mean[metric][i]) for metric in metrics),
                *(float(error[metric][i]) for metric in metrics),
                unit.layer in plan.dropped,
            ]
            for i, unit in enumerate(scores.units)
        ],
    )
    tracker.series(
        "relevance/layer", {f"relevance/{metric}": mean[metric].tolist() for metric in metrics}
    )


def _report_predictions(
    directory: Path, tracker: Tracker, comparison: Comparison, data: VideoDataModule
) -> None:
    names, classes = data.splits["test"].names, data.class_names
    answers = (comparison.label, comparison.full_prediction, comparison.pruned_prediction)
    columns = ["video", "label", "full", "pruned"]
    rows = [(names[video], *row) for video, *row in zip(comparison.video, *answers, strict=True)]
    write_csv(directory / "predictions.csv", columns, rows)
    tracker.table(
        "predictions", columns, [(name, *(classes[c] for c in row)) for name, *row in rows]
    )


def _trace(
    cfg: Prune,
    directory: Path,
    tracker: Tracker,
    results: Mapping[str, Any],
    data: VideoDataModule,
    measured: bool,
) -> None:
    """Tell W&B what the pruned model comes from; scores from the store are an input, too.

    A checkpoint given by ``ckpt=`` may come from anywhere, so it goes by the name of its file.
    """
    model, dataset = cfg.model.name, cfg.dataset.name
    tracker.takes(_dataset(cfg, data))
    tracker.takes(lineage.checkpoint(model, None if cfg.ckpt else dataset, Path(results["ckpt"])))
    scores = lineage.scores(model, dataset, cfg.calibration, directory)
    if measured:
        tracker.makes(scores)
    else:
        tracker.takes(scores)
    tracker.makes(lineage.pruned(results, directory))


def _dataset(cfg: Job, data: VideoDataModule) -> lineage.Asset:
    splits = {
        name: [(video, clip.label) for video, clip in zip(split.names, split.clips, strict=True)]
        for name, split in data.splits.items()
    }
    return lineage.dataset(cfg.dataset.name, data.class_names, splits)


def _report_curve(cfg: Prune, directory: Path, tracker: Tracker, curve: Curve) -> None:
    values = {"top1": {name: top1.tolist() for name, top1 in curve.top1.items()}}
    write_json(directory / "curve.json", {**values, "latency_ms": curve.latency_ms})
    plot_curve(
        directory / "curve.png",
        top1=curve.top1,
        latency_ms=curve.latency_ms,
        title=f"Dropping layers by {cfg.metric}: {cfg.model.name} on {cfg.dataset.name}",
    )
    tracker.image("curve/chart", directory / "curve.png")
    tracker.series(
        "curve/k",
        {
            **{f"curve/{name}": top1.mean(axis=0).tolist() for name, top1 in curve.top1.items()},
            "curve/latency_ms": curve.latency_ms,
        },
    )


def _say_where(directory: Path) -> None:
    Console().print(f"Results: {directory}", highlight=False, soft_wrap=True)


def _environment(trainer: pl.Trainer) -> dict[str, Any]:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {**environment(), "torch": torch.__version__, "device": name}


def _data(data: VideoDataModule) -> dict[str, Any]:
    """Which data a result is of."""
    return {"name": data.name, "classes": data.class_names, "files": files_digest(data.root)}


def _checkpoint(path: Path, classifier: VideoClassifier) -> dict[str, Any]:
    """Which checkpoint a result is of: its content, and what it was fine-tuned with."""
    provenance = classifier.provenance
    return {
        "ckpt": str(path),
        "ckpt_digest": file_digest(path),
        "fine_tuning": None if provenance is None else dict(provenance.settings),
    }
