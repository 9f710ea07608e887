"""Decoded clips on disk: what evaluation shows of a split, decoded once for all jobs."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vitprune.files import Lock, remove_leftovers, replacing

log = logging.getLogger(__name__)

GIGABYTE = 10**9
LOCKS = 64
"""Of a split: so many of its clips can be decoded at once."""
PATIENCE = 60
"""Seconds after which a process decodes a clip itself that another is at."""
NOTE = "split.json"


@dataclass(frozen=True)
class StoredClips:
    """The decoded clips of one split, each in a file that is written whole or not at all.

    Workers, jobs and processes of a group share them; a lock sees to it that of several which
    want the same clip one decodes it. All of it is best effort: where nothing can be written, or
    the folder is dropped meanwhile, clips are decoded.

    Args:
        folder: where they lie.
        shape: of every clip.
    """

    folder: Path
    shape: tuple[int, ...]

    def get(self, number: int, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """A clip, memory-mapped, uint8 of :attr:`shape`; decoded if it is not there yet."""
        clip = self._kept(number)
        if clip is not None:
            return clip
        with self._alone(number):
            clip = self._kept(number)
            if clip is None:
                clip = decode()
                self._keep(number, clip)
            return clip

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.npy"

    def _kept(self, number: int) -> np.ndarray | None:
        try:
            clip: np.ndarray = np.load(self._file(number), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return clip if clip.shape == self.shape and clip.dtype == np.uint8 else None

    def _keep(self, number: int, clip: np.ndarray) -> None:
        if not (self.folder / NOTE).is_file():
            return  # dropped meanwhile
        try:
            with replacing(self._file(number)) as temporary, temporary.open("wb") as file:
                np.save(file, clip, allow_pickle=False)
        except OSError as error:
            log.debug("clip %d of %s is not kept: %s", number, self.folder, error)

    @contextmanager
    def _alone(self, number: int) -> Iterator[None]:
        lock = Lock(self.folder / f"{number % LOCKS}.lock", timeout=PATIENCE)
        try:
            lock.acquire()
        except OSError:
            yield  # a file system without locks, or a process that hangs
            return
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class ClipStore:
    """The decoded clips of all datasets, in a folder that does not grow beyond a size.

    Args:
        folder: where they lie, a folder for each split.
        gigabytes: that they may take; the split that was not used for the longest goes first.
    """

    folder: Path
    gigabytes: float

    def split(
        self, known_as: Any, files: Sequence[Any], shape: tuple[int, ...], title: str
    ) -> StoredClips | None:
        """Make room for the clips of a split, or find those that are there.

        Args:
            known_as: what tells the split, its clips and their settings apart from others.
            files: size and date of every file. Clips of the same split that were made when a file
                was another are dropped.
            shape: of every clip.
            title: of the split, for messages.

        Returns:
            None if there is no room; that is said.
        """
        identity, state = _digest(known_as), _digest(list(files))
        wanted = len(files) * int(np.prod(shape))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Lock(self.folder / ".lock", timeout=PATIENCE):
                return self._split(identity, state, wanted, shape, title)
        except OSError as error:
            log.warning("%s: decoded clips are not kept in %s (%s)", title, self.folder, error)
            return None

    def _split(
        self, identity: str, state: str, wanted: int, shape: tuple[int, ...], title: str
    ) -> StoredClips | None:
        folder = self.folder / f"{identity}-{state}"
        note = folder / NOTE
        if note.is_file():
            os.utime(note)
            return StoredClips(folder, shape)
        for outdated in self.folder.glob(f"{identity}-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        limit = int(self.gigabytes * GIGABYTE)
        if wanted <= limit:
            self._drop_until(limit - wanted)
        free = shutil.disk_usage(self.folder).free
        if wanted > min(limit, free):
            room = "are free on the disk" if wanted > free else "may be kept"
            log.warning(
                "%s: its decoded clips would take %.1f GB, but %.1f GB %s; they are decoded anew "
                "each time (dataset.store_gb says how much is kept, dataset.store=false nothing)",
                title, wanted / GIGABYTE, min(limit, free) / GIGABYTE, room,
            )  # fmt: skip
            return None
        with replacing(note) as temporary:
            temporary.write_text(json.dumps({"split": title, "bytes": wanted}))
        return StoredClips(folder, shape)

    def _drop_until(self, limit: int) -> None:
        """Drop the splits that were not used for the longest until all take no more than this."""
        notes = sorted(self.folder.glob(f"*/{NOTE}"), key=lambda note: note.stat().st_mtime)
        sizes = [_bytes(note) for note in notes]
        total = sum(sizes)
        for note, size in zip(notes, sizes, strict=True):
            if total <= limit:
                break
            shutil.rmtree(note.parent, ignore_errors=True)
            total -= size
        for folder in filter(Path.is_dir, self.folder.iterdir()):
            if (folder / NOTE).is_file():
                remove_leftovers(folder)
            else:  # a lock that was made as its folder was dropped
                shutil.rmtree(folder, ignore_errors=True)


def _bytes(note: Path) -> int:
    try:
        return int(json.loads(note.read_text())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).hexdigest()
