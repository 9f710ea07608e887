"""The scores that a pruning is decided by: from the store, or measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from vitprune.data import VideoDataModule
from vitprune.importance import Scores, entry_name, measure_of, score
from vitprune.models import VideoTransformer
from vitprune.tasks.outputs import trace_pruning
from vitprune.tasks.run import Run
from vitprune.tracking import lineage

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


class Scoring:
    """Scores models on the calibration split, once for the same model, clips and precision.

    Args:
        cfg: of the job.
        run: whose store is asked.
        data: set up.

    Attributes:
        trainer: on whose device, and in whose precision, models run; to be set before scoring.
        measured: whether anything had to be measured.
    """

    trainer: pl.Trainer

    def __init__(self, cfg: Prune, run: Run, data: VideoDataModule) -> None:
        self.cfg = cfg
        self.run = run
        self.data = data
        self.measured = False

    def score(self, model: VideoTransformer) -> Scores:
        """The scores of a model's layers."""
        cfg = self.cfg
        measure = measure_of(cfg.metric)

        def compute() -> Scores:
            self.measured = True
            return score(
                model,
                self.data.loader(cfg.calibration, share=True),
                cfg.scope,
                measure=measure,
                max_streams=cfg.max_streams,
                seed=cfg.seed,
                autocast=self.trainer.precision_plugin.forward_context,
                progress=self.trainer.is_global_zero,
            )

        name = entry_name(
            model,
            self.data.fingerprint(cfg.calibration),
            scope=cfg.scope,
            measure=measure,
            precision=str(self.trainer.precision),
            **({"seed": cfg.seed} if measure == "random" else {}),
        )
        return self.run.store().get(name, compute)

    def rank(self, scores: Scores) -> list[int]:
        """The layers in the order in which they go."""
        cfg = self.cfg
        return [unit.layer for unit in scores.rank(cfg.metric, cfg.direction, cfg.target)]

    def validation(self) -> Callable[[], Iterable[Mapping[str, Any]]] | None:
        """Clips for a search, which must not choose by the test split; None without one."""
        return (lambda: self.data.loader("val", share=True)) if self.cfg.objective else None

    def trace(self, checkpoint: Path, results: Mapping[str, Any]) -> None:
        """Tell W&B what the pruned model comes from."""
        cfg, directory = self.cfg, self.run.directory
        trace_pruning(
            self.run,
            self.data,
            checkpoint,
            lineage.pruned(results, directory),
            lineage.scores(cfg.model.name, self.data.name, cfg.calibration, directory),
            model=cfg.model.name,
            named=cfg.ckpt is not None,
            measured=self.measured,
        )
