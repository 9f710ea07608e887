"""Folders of frames: a picture a frame, numbered by name. A source of video like any file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vitprune.data.source import Damage, VideoIndex
from vitprune.errors import InputError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
RATE = 30
"""Frames a second, which pictures do not say."""
Key = list[tuple[int, str]]


class FrameFolder:
    """The pictures in a folder in the order of the numbers in their names: 2 comes before 10.

    Other files in it are passed over. Pictures of 16 or 32 bits, as of depth, are stretched, each
    from its least to its greatest value.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def index(self) -> VideoIndex:
        """See :class:`~vitprune.data.source.Source`; only the first picture is opened."""
        pictures = self._pictures()
        with _opened(pictures[0]) as picture:
            width, height = picture.size
        count = len(pictures)
        return VideoIndex(np.arange(count) / RATE, np.arange(count), height, width)

    def read(self, index: VideoIndex, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """See :class:`~vitprune.data.source.Source`."""
        pictures = self._pictures()
        if len(pictures) != len(index):
            raise Damage(f"{self.path}: has {len(pictures)} frames by now, not {len(index)}")
        return np.stack([_read(pictures[n], (index.height, index.width), size) for n in numbers])

    def _pictures(self) -> list[Path]:
        return pictures_in(self.path)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, ordered by the numbers in their names.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    try:
        names = [name for name in os.listdir(folder) if name.lower().endswith(PICTURE_SUFFIXES)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    names = [name for name in names if not name.startswith(".")]
    if not names:
        raise InputError(
            f"{folder}: has no frames; a frame is a picture, one of {', '.join(PICTURE_SUFFIXES)}"
        )
    return [folder / name for name in sorted(names, key=_order)]


def _order(name: str) -> tuple[Key, str]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Damage(f"{path}: cannot be read as a picture ({_reason(error)})") from error


def _read(path: Path, whole: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    with _opened(path) as picture:
        if picture.size != whole[::-1]:
            raise Damage(
                f"{path}: is of {picture.size[0]}x{picture.size[1]} pixels, the folder's first "
                f"frame of {whole[1]}x{whole[0]}"
            )
        try:
            if picture.mode.startswith(("I", "F")):
                picture = Image.fromarray(_stretched(np.asarray(picture)))
            elif picture.mode == "RGB":
                picture.draft("RGB", size[::-1])  # JPEG only: decodes no more than is needed
            picture = picture.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise Damage(f"{path}: cannot be read as a picture ({_reason(error)})") from error
        if picture.size != size[::-1]:
            picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(picture)


def _stretched(values: np.ndarray) -> np.ndarray:
    least, greatest = float(values.min()), float(values.max())
    return ((values - least) * (255 / max(greatest - least, 1e-9))).astype(np.uint8)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines and not lines[0].startswith("cannot identify") else "no picture"
