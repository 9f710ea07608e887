"""Indexes of videos on disk: each is made once, however many jobs, workers and epochs use it."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vitprune.data.packets import FileIndex
from vitprune.data.pieces import Coding
from vitprune.data.source import VideoIndex
from vitprune.files import replacing

VERSION = 3
"""Of what indexes say; those of other versions are made anew."""
KINDS: dict[str, type[VideoIndex]] = {kind.__name__: kind for kind in (VideoIndex, FileIndex)}
CHECK = 8
"""Digits of the checksum that a file begins with."""


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
            return _from_bytes(self._file(path).read_bytes(), [VERSION, size, mtime_ns])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged

    def put(self, path: str, size: int, mtime_ns: int, index: VideoIndex) -> None:
        """Keep an index; best effort."""
        try:
            with replacing(self._file(path)) as temporary:
                temporary.write_bytes(_to_bytes(index, [VERSION, size, mtime_ns]))
        except OSError:
            return

    def _file(self, path: str) -> Path:
        name = blake2b(os.fsencode(os.path.abspath(path)), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.index"


def _to_bytes(index: VideoIndex, made_for: list[int]) -> bytes:
    """A checksum, a line that says what follows, and the arrays one after another.

    In NumPy's own format, a file of a dozen arrays takes ten times longer to read.
    """
    plain: dict[str, Any] = dict(vars(index))
    arrays = {name: value for name, value in plain.items() if isinstance(value, np.ndarray)}
    head = {
        "made_for": made_for,
        "kind": type(index).__name__,
        "plain": {name: value for name, value in plain.items() if name not in arrays},
        "arrays": [[name, array.dtype.str, len(array)] for name, array in arrays.items()],
    }
    content = json.dumps(head).encode() + b"\n"
    content += b"".join(array.tobytes() for array in arrays.values())
    return _check(content) + content


def _from_bytes(kept: bytes, made_for: list[int]) -> VideoIndex | None:
    """What :func:`_to_bytes` made; None if it was made for something else.

    Raises:
        ValueError, KeyError, TypeError: it is damaged.
    """
    content = kept[CHECK:]
    if kept[:CHECK] != _check(content):
        raise ValueError
    line, _, rest = content.partition(b"\n")
    head = json.loads(line)
    if head["made_for"] != made_for:
        return None
    fields, at = dict(head["plain"]), 0
    for name, kind, length in head["arrays"]:
        end = at + length * np.dtype(kind).itemsize
        fields[name] = np.frombuffer(rest[at:end], kind)
        at = end
    if fields.get("coding"):
        fields["coding"] = Coding(*fields["coding"])
    return KINDS[head["kind"]](**fields)


def _check(content: bytes) -> bytes:
    return b"%0*x" % (CHECK, zlib.crc32(content))
