"""The scores that a pruning is decided by: from the store, or measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from vitprune.data import VideoDataModule
from vitprune.data.base import SplitName
from vitprune.data.loading import KeptBatches
from vitprune.importance import Scores, Unit, entry_name, measure_of, score
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
        self._clips: dict[str, KeptBatches] = {}
        self._known: dict[str, Scores] = {}

    def score(
        self, model: VideoTransformer, metric: str | None = None, *, progress: bool = True
    ) -> Scores:
        """The scores of the units of the job's model, full or without some of them.

        Args:
            model: what is scored.
            metric: that will be asked for; None for the job's.
            progress: whether a bar shows it.
        """
        cfg = self.cfg
        measure = measure_of(metric or cfg.metric)

        def compute() -> Scores:
            self.measured = True
            return score(
                model,
                self.clips(cfg.calibration),
                cfg.scope,
                measure=measure,
                max_streams=cfg.max_streams,
                seed=cfg.seed,
                autocast=self.trainer.precision_plugin.forward_context,
                progress=progress and self.trainer.is_global_zero,
            )

        name = entry_name(
            model,
            self.data.fingerprint(cfg.calibration),
            scope=cfg.scope,
            measure=measure,
            precision=str(self.trainer.precision),
            **({"seed": cfg.seed} if measure == "random" else {}),
        )
        if name not in self._known:
            self._known[name] = self.run.store().get(name, compute)
        return self._known[name]

    def rank(self, scores: Scores, metric: str | None = None) -> list[Unit]:
        """The units in the order in which they go, by a metric or the job's."""
        cfg = self.cfg
        return scores.rank(metric or cfg.metric, cfg.direction, cfg.target)

    def clips(self, split: SplitName) -> KeptBatches:
        """This process's share of a split, one view a video; decoded once if memory allows."""
        if split not in self._clips:
            self._clips[split] = KeptBatches(self.data.loader(split, share=True))
        return self._clips[split]

    def validation(self) -> Callable[[], Iterable[Mapping[str, Any]]] | None:
        """Clips for a search, which must not choose by the test split; None without one."""
        return (lambda: self.clips("val")) if self.cfg.objective else None

    def trace(self, checkpoint: Path, results: Mapping[str, Any]) -> None:
        """Tell W&B what the pruned model comes from."""
        cfg, directory = self.cfg, self.run.directory
        trace_pruning(
            self.run,
            self.data,
            checkpoint,
            lineage.pruned(results, directory),
            lineage.scores(cfg.model.name, self.data.name, cfg.scope, cfg.calibration, directory),
            model=cfg.model.name,
            named=cfg.ckpt is not None,
            measured=self.measured,
        )
