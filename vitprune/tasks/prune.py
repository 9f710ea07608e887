"""``prune.py``: score the layers, drop k of them, compare both models on the same clips."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vitprune.pruning import STRATEGIES, DropCurves, LayerPruning, Plan, drop
from vitprune.report.curves import print_curves
from vitprune.report.terminal import print_comparison
from vitprune.tasks.curves import every_order, write_curves
from vitprune.tasks.outputs import write_pruning
from vitprune.tasks.run import Run, surroundings
from vitprune.tasks.scoring import Scoring
from vitprune.tasks.subject import pruning_subject
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


@dataclass(frozen=True)
class Pruned:
    """What a job of prune.py found; its fields are the keys of ``results.json``.

    Attributes:
        model: specification of the full model, and its title in tables.
        ckpt: its checkpoint, with ``ckpt_digest`` and what it was fine-tuned with.
        dropped: the layers, the first to go first.
        full: Top-1, Top-5 and cost of the full model.
        pruned: the same of the smaller one.
        paired: how many videos changed sides, and McNemar's exact p.
        val: both models on the validation split, where an objective wants it.
        seconds: by phase.
        settings: as they were used; ``asked`` as they were given.
    """

    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    ckpt: str
    ckpt_digest: str
    fine_tuning: Mapping[str, Any] | None
    metric: str
    k: int
    direction: str
    scope: str
    target: str
    strategy: str
    calibration: Mapping[str, Any]
    seed: int
    precision: str
    clip_settings: Mapping[str, Any]
    leakage: Mapping[str, int] | None
    dropped: list[int]
    full: Mapping[str, Any]
    pruned: Mapping[str, Any]
    paired: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]
    val: Mapping[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As ``results.json`` has it; ``val`` only where there is one."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("val", None)}


def prune(cfg: Prune, run: Run) -> Pruned:
    """Score the layers, drop k of them, and compare both models on the test split."""
    start, asked = time.perf_counter(), cfg.settings()
    run.seed()
    subject = pruning_subject(cfg, run)
    cfg, data, model = subject.cfg, subject.data, subject.classifier.model
    ready = time.perf_counter()
    scoring = Scoring(cfg, run, data)

    def smaller(full: VideoClassifier) -> tuple[Plan, VideoClassifier]:
        plan = STRATEGIES[cfg.strategy](full.model, cfg.k, scoring.score, scoring.rank)
        return plan, drop(full, plan)

    experiment = LayerPruning(smaller, scoring.validation())
    curves = None
    if cfg.curves:
        curves = DropCurves(lambda: every_order(cfg, model, scoring), lambda: scoring.clips("val"))
    with run:
        trainer = run.trainer([experiment] if curves is None else [experiment, curves])
        scoring.trainer = trainer
        trainer.test(subject.classifier, datamodule=data, verbose=False)
        outcome = experiment.outcome
        seconds = {"prepare": ready - start, **outcome.seconds}
        seconds["total"] = time.perf_counter() - start
        results = Pruned(
            **subject.described(),
            **outcome.described(),
            model={**asdict(model.spec), "title": model.title},
            calibration={"split": cfg.calibration, "clips": len(outcome.plan.scores.clips)},
            precision=trainer.precision,  # on a CPU, Lightning takes bf16 for fp16
            environment=surroundings(trainer),
            seconds=seconds,
            asked=asked,
            **cfg.choices(),
        )
        if trainer.is_global_zero:
            with run.publishing(results.plain()):
                write_pruning(run, cfg, outcome, data)
                if curves is not None:
                    table = write_curves(run, cfg, curves, data, model.title)
            scoring.trace(subject.path, results.plain())
    if trainer.is_global_zero:  # after W&B has said its own
        print_comparison(results.plain())
        if curves is not None:
            print_curves([table])
        run.say_where()
    return results
