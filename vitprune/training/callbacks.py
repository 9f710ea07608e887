"""What is kept, and what is done, around the epochs of a fine-tuning and around a test."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from vitprune.training.per_video import HitsPerVideo, rank

log = logging.getLogger(__name__)

MUCH = 0.2
"""Share of its time that a job may wait for data before it says so."""
LONG = 10.0
"""Seconds of waiting from which on it matters; workers take a few to start."""


class RandomState(pl.Callback):
    """Keeps torch's random state in checkpoints, for dropout and mixup after a resumption."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._loaded is None:
            return
        torch.set_rng_state(self._loaded["cpu"].cpu())
        states = self._loaded.get("cuda", [])
        if states and len(states) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in states])


class LastEpochValidated(pl.Callback):
    """Has the last epoch validated, whatever the interval, so that it can be the best one."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch, interval = trainer.current_epoch + 1, trainer.check_val_every_n_epoch
        if epoch == trainer.max_epochs and interval is not None and epoch % interval:
            trainer.check_val_every_n_epoch = epoch  # those that the interval divides are validated


class AnsweredRight(pl.Callback):
    """Which test videos are answered right; of all processes.

    Attributes:
        videos: numbers of the N videos, after the test.
        right: whether the label came first, bool [N].
    """

    videos: list[int]
    right: np.ndarray

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hits = HitsPerVideo(1).to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        hits = rank(outputs["probabilities"], batch["label"]) == 0
        self._hits.update(batch["video"], hits[:, None])

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        videos, hits = self._hits.compute()
        self.videos, self.right = videos.tolist(), hits[:, 0]


class WaitingForData(pl.Callback):
    """Says once if a job waits for data for more than a fifth of its time, and what to change.

    Waiting is what passes between a batch and the next, in the loops of training and evaluation.

    Args:
        num_workers: of the loaders.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.said = False
        self._watched()

    def _watched(self) -> None:
        self._waited = self._worked = 0.0
        self._since: float | None = None

    def _begins(self) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self._waited += now - self._since
        self._since = now

    def _ends(self) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self._worked += now - self._since
        self._since = now
        share = self._waited / max(self._waited + self._worked, 1e-9)
        if self._waited > LONG and share > MUCH and not self.said:
            self.said = True
            log.warning(
                "%.0f %% of the time is spent waiting for data; %s", 100 * share, self._advice()
            )

    def _advice(self) -> str:
        cores = os.cpu_count() or 1
        if self.num_workers < cores:
            return f"try more workers, dataset.num_workers={cores} (now {self.num_workers})"
        return (
            f"dataset.num_workers={self.num_workers} uses all {cores} cores: smaller video files "
            "decode faster"
        )

    # What is between epochs, as a validation or a checkpoint, is no waiting.

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._watched()

    def on_train_batch_start(self, *_: Any) -> None:
        self._begins()

    def on_train_batch_end(self, *_: Any) -> None:
        self._ends()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._watched()

    def on_validation_batch_start(self, *_: Any) -> None:
        self._begins()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._ends()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._watched()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._watched()

    def on_test_batch_start(self, *_: Any) -> None:
        self._begins()

    def on_test_batch_end(self, *_: Any) -> None:
        self._ends()
