"""Fine-tuning that may be killed at any moment, and then goes on from its last epoch."""

from __future__ import annotations

import csv
import logging
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from vitprune.errors import InputError, in_one_line
from vitprune.files import Lock
from vitprune.results.settings import differences, settings_of
from vitprune.results.writing import BEST, publishing, write_csv
from vitprune.training.classifier import write_checkpoint
from vitprune.training.provenance import Provenance

log = logging.getLogger(__name__)

LAST = "last.ckpt"
CONFIG = "config.yaml"
FINE_TUNING = ("model", "dataset", "trainer", "callbacks", "seed", "clips", "begun_with")
"""Top-level keys that must be equal for a half-done fine-tuning to go on; ``begun_with`` is what it
began with where that is not the model's own weights."""


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """One job at a time fine-tunes into ``directory``; the others wait.

    The system takes the lock back from a job that dies, however it dies. Of the several processes
    of a job the first holds it for them all.
    """
    if not _first_process():
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    lock = Lock(directory / ".lock")
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        log.info("Another job is fine-tuning into %s; waiting for it", directory)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _first_process() -> bool:
    """Whether this is the process of a job that writes files; known before there is a group."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


class Attempt:
    """A fine-tuning under way, in ``<directory>/partial`` until it is finished.

    So ``<directory>/best.ckpt`` is always the outcome of a whole fine-tuning, although
    the best epoch so far is written again and again. An earlier attempt that was killed is
    continued if its settings were the same, and thrown away otherwise.

    Args:
        directory: where the outcome goes.
        configuration: the job's, resolved, in plain types.
        class_names: of the data.
        provenance: of what is fine-tuned: other clips, or other classes, are another attempt.
    """

    def __init__(
        self,
        directory: Path,
        configuration: Mapping[str, Any],
        class_names: Sequence[str] = (),
        provenance: Provenance | None = None,
    ) -> None:
        splits = dict(provenance.splits) if provenance else {}
        clips = {"classes": list(class_names), **splits}
        configuration = {**configuration, "clips": clips}
        self.directory = directory
        self.folder = directory / "partial"
        last = self.folder / LAST
        self._step = _steps_taken(last)
        if _first_process() and not (self._step and self._has_same_settings(configuration)):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            (self.folder / CONFIG).write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
            self._step = 0
        self.resume_from = last if self._step else None
        """The checkpoint to go on from, with the optimizer's state; None to start anew."""

    def _has_same_settings(self, configuration: Mapping[str, Any]) -> bool:
        kept = self.folder / CONFIG
        if not kept.is_file():
            return False
        before = yaml.safe_load(kept.read_text())
        changed = differences(_needed_to_go_on(before), _needed_to_go_on(configuration))
        if not changed:
            log.info("Going on with the unfinished fine-tuning in %s", self.folder)
            return True
        log.info(
            "The unfinished fine-tuning in %s had another %s: starting anew",
            self.folder,
            ", ".join(changed),
        )
        return False

    def logger(self) -> CSVLogger:
        """Writes ``metrics.csv``; each attempt its own part, named for the step it begins with."""
        if _first_process():
            shutil.rmtree(self._parts / str(self._step), ignore_errors=True)
        return CSVLogger(str(self.folder), name=self._parts.name, version=str(self._step))

    @property
    def _parts(self) -> Path:
        return self.folder / "metrics"

    def finish(self, results: Mapping[str, Any]) -> None:
        """Move the outcome to ``directory``, ``results.json`` last, and remove the rest."""
        best = self.folder / BEST
        if not best.is_file():
            raise InputError(
                f"fine-tuning ended without a checkpoint in {self.folder}; the callbacks must "
                f"hold a ModelCheckpoint that writes {BEST}"
            )
        header, rows = joined_metrics(self._parts)
        with publishing(self.directory, results):
            write_csv(self.directory / "metrics.csv", header, rows)
            os.replace(self.folder / CONFIG, self.directory / CONFIG)
            os.replace(best, self.directory / BEST)
        shutil.rmtree(self.folder, ignore_errors=True)


def _needed_to_go_on(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings_of(configuration).items() if k in FINE_TUNING}


def _steps_taken(checkpoint: Path) -> int:
    """How many steps of training are in a checkpoint; 0 if it is not there or damaged."""
    if not checkpoint.is_file():
        return 0
    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        log.warning("%s is damaged (%s)", checkpoint, in_one_line(error))
        return 0


class WholeCheckpoints(TorchCheckpointIO):
    """Has Lightning write checkpoints beside their place and rename them.

    Its own way is by the directory for temporary files, which on a cluster is another disk: a job
    killed while its checkpoint is copied from there would leave half a file.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        write_checkpoint(checkpoint, path)


def joined_metrics(parts: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the ``metrics.csv`` of several attempts, as if there had been one.

    Args:
        parts: holds ``<step>/metrics.csv``, where step is the one that the attempt began with;
            what the attempt before logged from that step on is left out.
    """
    files = sorted(parts.glob("*/metrics.csv"), key=lambda path: int(path.parent.name))
    ends = [int(path.parent.name) for path in files[1:]]
    rows: list[dict[str, str]] = []
    for path, end in zip_longest(files, ends):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                step = row.get("step") or ""
                if step.isdigit() and (end is None or int(step) < end):
                    rows.append(row)
    header = sorted({name for row in rows for name in row if name})
    return header, [[row.get(name) or "" for name in header] for row in rows]
