"""What was measured once, scores above all, is not measured again."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import distributed

from vitprune.files import Lock
from vitprune.importance.scores import Scores
from vitprune.models.chain import VideoTransformer

log = logging.getLogger(__name__)

Kept = TypeVar("Kept")

ROOT = Path("runs/cache/importance")
VERSION = 2
"""Raise it when the same inputs would give other scores: old entries are then not read again."""
PATIENCE = 5.0
"""Seconds between two looks at a lock that another job holds. Well below the time after which
process groups give up on a collective, since the other processes wait in one."""


def fingerprint(model: VideoTransformer, *, bits: bool = True) -> str:
    """A hash of all that a model computes with: its spec, its units and every tensor's bits.

    Without ``bits`` it is of its form alone: the same for the same amount of computing.
    """
    digest = hashlib.sha256()
    form = [asdict(model.spec), model.neuron_groups, [*map(str, model.dropped)], model.num_layers]
    digest.update(json.dumps(form).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if not bits:
            continue
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def entry_name(
    model: VideoTransformer,
    clips: str,
    *,
    scope: str,
    measure: str = "ablation",
    precision: str = "32",
    **settings: Any,
) -> str:
    """The name that scores are kept under: the same for the same scores, and for no others.

    Metric, target, k and direction have no part in it: one entry serves them all.

    Args:
        model: what is scored; counts by its content, not by its file.
        clips: says exactly which clips and how they were sampled from their videos.
        scope: ``layer``, ``attention``, ``mlp``, ``head``, ``neurons`` or ``any``.
        measure: one of :data:`vitprune.importance.MEASURES`.
        precision: of the arithmetic.
        settings: anything else that the scores depend on, as JSON can write it: a seed.
    """
    inputs = [VERSION, fingerprint(model), clips, scope, measure, precision, settings]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return f"{model.spec.name}-{scope}-{measure}-{digest[:24]}"


class Store(ABC, Generic[Kept]):
    """What was measured, by name, in files under one folder that concurrent jobs may share.

    Subclasses write :meth:`read` and :meth:`write` of one such file, and say what is in it.

    Args:
        root: the folder.
        enabled: False to neither read nor write.
    """

    what: ClassVar[str]
    """What an entry is, in the plural: ``scores``."""
    ending: ClassVar[str]
    """Of a file's name."""

    def __init__(self, root: str | Path, enabled: bool = True) -> None:
        self.root = Path(root)
        self.enabled = enabled

    @abstractmethod
    def read(self, path: Path) -> Kept:
        """What :meth:`write` wrote.

        Raises:
            OSError, ValueError, KeyError, zipfile.BadZipFile: the file is damaged, or something
                else.
        """

    @abstractmethod
    def write(self, kept: Kept, path: Path) -> None:
        """Writes a file, which is there whole or not at all."""

    def get(self, name: str, compute: Callable[[], Kept]) -> Kept:
        """What is kept under ``name``; if nothing is yet, ``compute()``, then kept.

        Where several jobs ask for the same name at once, one computes and the others wait for it;
        if it fails, the next one computes. A damaged entry is computed anew, with a warning. All
        processes of a group call this together and get the same; only the first touches files.
        """
        if not self.enabled:
            return compute()
        lock = Lock(self.root / f"{name}.lock")
        try:
            while (found := _from_first(lambda: self._look(name, lock))) == WAIT:
                pass
            if found != COMPUTE:
                return found
            computed = compute()
            if lock.is_locked:
                self.write(computed, self._path(name))
            return computed
        finally:
            lock.release()

    def _path(self, name: str) -> Path:
        return self.root / f"{name}{self.ending}"

    def _look(self, name: str, lock: Lock) -> Any:
        """The entry; or whether to wait for another job or, now holding the lock, to compute."""
        path = self._path(name)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            log.info("another job is computing these %s; waiting for %s", self.what, path)
            try:
                lock.acquire(timeout=PATIENCE)
            except TimeoutError:
                return WAIT
        if not path.exists():
            return COMPUTE
        try:
            kept = self.read(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is damaged (%s); computing its %s again", path, error, self.what)
            return COMPUTE
        log.info("%s taken from the store: %s", self.what, path)
        return kept


WAIT, COMPUTE = "wait", "compute"
"""What to do where there is no entry."""


class ScoreStore(Store[Scores]):
    """Scores by name; see :func:`entry_name`."""

    what, ending = "scores", ".npz"

    def __init__(self, root: str | Path = ROOT, enabled: bool = True) -> None:
        super().__init__(root, enabled)

    def read(self, path: Path) -> Scores:
        return Scores.load(path)

    def write(self, kept: Scores, path: Path) -> None:
        kept.save(path)


def _from_first(ask: Callable[[], Any]) -> Any:
    """What ``ask()`` says in the first process of the group, in all of them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ask()
    answer = [ask() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(answer, src=0)
    return answer[0]
