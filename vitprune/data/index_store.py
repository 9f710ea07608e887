"""Indexes of videos on disk: each is made once, however many jobs, workers and epochs use it."""

from __future__ import annotations

import os
import zipfile
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vitprune.data.packets import FileIndex
from vitprune.data.source import VideoIndex
from vitprune.files import replacing

VERSION = 1
"""Of what indexes say; those of other versions are made anew."""
KINDS: dict[str, type[VideoIndex]] = {kind.__name__: kind for kind in (VideoIndex, FileIndex)}


@dataclass(frozen=True)
class IndexStore:
    """A folder of indexes, each in a file of its own that is written whole or not at all.

    So any number of processes may use it, on any file system. What cannot be written is not kept.

    Args:
        folder: where they lie.
    """

    folder: Path

    def get(self, path: str, size: int, mtime_ns: int) -> VideoIndex | None:
        """The index of a video, if it was made for the file as it is now."""
        try:
            with np.load(self._file(path), allow_pickle=False) as kept:
                if kept["made_for"].tolist() != [VERSION, size, mtime_ns]:
                    return None
                fields: dict[str, Any] = {name: kept[name] for name in kept.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # not there, or damaged
        del fields["made_for"]
        kind = KINDS.get(str(fields.pop("kind", "")))
        plain = {name: value if value.ndim else value.item() for name, value in fields.items()}
        try:
            return None if kind is None else kind(**plain)
        except TypeError:
            return None

    def put(self, path: str, size: int, mtime_ns: int, index: VideoIndex) -> None:
        """Keep an index; best effort."""
        made_for = np.asarray([VERSION, size, mtime_ns], dtype=np.int64)
        fields: dict[str, Any] = {n: np.asarray(value) for n, value in asdict(index).items()}
        try:
            with replacing(self._file(path)) as temporary:
                np.savez(temporary, made_for=made_for, kind=type(index).__name__, **fields)
        except OSError:
            return

    def _file(self, path: str) -> Path:
        name = blake2b(os.fsencode(os.path.abspath(path)), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.npz"
