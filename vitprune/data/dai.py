"""DAI, driver activity: annotation files over videos, or a directory per class.

``videos/**`` and ``annotations/{train,val,test}.csv`` with the columns ``video,label`` and, where
there are such, ``start,end`` (seconds), ``subject``, ``view``; ``classes.txt`` if the order of the
classes matters. Or, without annotations, ``{train,val,test}/<class>/*``.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vitprune.data.annotations import (
    VIDEO_SUFFIXES,
    Annotation,
    Row,
    in_order,
    lines_of,
    numbered,
    rows_of,
)
from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SPLITS, SplitName
from vitprune.errors import InputError

NEEDED, OTHERS = ("video", "label"), ("start", "end", "subject", "view")


class DAIDataModule(VideoDataModule):
    """DAI. No subject and no moment of a recording is in two splits.

    Where there is no validation split, subjects make one; where they are unknown, recordings.

    See :class:`~vitprune.data.base.VideoDataModule` for the arguments.
    """

    layout: ClassVar[str] = "dai"

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are in the order of classes.txt, or sorted without it."""
        annotated = (self.root / "annotations").is_dir()
        rows = self._read_annotations() if annotated else self._read_directories()
        path = self.root / "classes.txt"
        if path.is_file():
            class_names = read_class_names(path)
            right = "is not in classes.txt"
        else:
            class_names = in_order(row.label for row in rows["train"])
            right = "has no training clip; correct it, or list the classes in classes.txt"
        return class_names, numbered(rows, class_names, self.wrong, right)

    def _read_annotations(self) -> dict[SplitName, list[Annotation]]:
        directory = self.root / "annotations"
        for split in ("train", "test"):
            if not (directory / f"{split}.csv").is_file():
                raise InputError(
                    f"{directory} has no {split}.csv; it needs train.csv and test.csv, "
                    "with the columns video,label"
                )
        return {
            split: self._read_csv(directory / f"{split}.csv", split)
            for split in SPLITS
            if (directory / f"{split}.csv").is_file()
        }

    def _read_csv(self, path: Path, split: SplitName) -> list[Annotation]:
        rows = []
        for row in rows_of(path, NEEDED, OTHERS):
            with self.each(split):
                rows.append(self._annotation(row))
        if not rows:
            raise InputError(f"{path}: has no rows; a row is video,label")
        return rows

    def _annotation(self, row: Row) -> Annotation:
        video, label = row.text("video"), row.text("label")
        start, end = row.seconds("start"), row.seconds("end")
        if end is not None and end <= (start or 0.0):
            raise InputError(f"{row.where}: end {end:g} s is not after start {start or 0:g} s")
        places = [self.root / video, self.root / "videos" / video]
        path = next((place for place in places if place.exists()), None)
        if path is None:
            raise InputError(f"{row.where}: no file {video!r} in {self.root}; correct the path")
        clip = Clip(path, -1, start, end, group=row["subject"], view=row["view"])
        return Annotation(clip, label, row.where)

    def _read_directories(self) -> dict[SplitName, list[Annotation]]:
        for split in ("train", "test"):
            if not (self.root / split).is_dir():
                raise InputError(
                    f"{self.root} has neither annotations/ nor {split}/; it needs "
                    "annotations/{train,val,test}.csv or {train,val,test}/<class>/*"
                )
        return {
            split: read_directory(self.root / split)
            for split in SPLITS
            if (self.root / split).is_dir()
        }


def read_directory(directory: Path) -> list[Annotation]:
    """The videos ``<class>/*`` in a directory.

    Raises:
        InputError: there are none.
    """
    rows = [
        Annotation(Clip(path, -1), path.parent.name, str(path))
        for path in sorted(directory.glob("*/*"))
        if path.suffix.lower() in VIDEO_SUFFIXES
    ]
    if not rows:
        raise InputError(
            f"{directory}: has no <class>/<video>, a video being one of {', '.join(VIDEO_SUFFIXES)}"
        )
    return rows


def read_class_names(path: Path) -> list[str]:
    """The classes in classes.txt, one in a line, in its order.

    Raises:
        InputError: one is named twice, or none is.
    """
    names: list[str] = []
    for name, _ in lines_of(path, "a class in each line"):
        if name in names:
            raise InputError(f"{path}: names class {name!r} twice")
        names.append(name)
    return names
