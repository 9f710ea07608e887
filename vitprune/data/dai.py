"""DAI, driver activity: annotation files over videos, or a directory per class.

``videos/**`` and ``annotations/{train,val,test}.csv`` with the columns ``video,label`` and, where
there are such, ``start,end`` (seconds), ``subject``, ``view``; ``classes.txt`` if the order of the
classes matters. Or, without annotations, ``{train,val,test}/<class>/*``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from vitprune.data.base import SPLITS, SplitName, VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import held_out_groups, joined
from vitprune.data.recordings import check_recordings, check_subjects, recordings_of
from vitprune.errors import InputError

VIDEO_SUFFIXES = (".avi", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".wmv", ".ts")
COLUMNS = ("video", "label", "start", "end", "subject", "view")


@dataclass(frozen=True)
class Annotation:
    """An annotation, its label still a name, and where it stands."""

    clip: Clip
    label: str
    where: str


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
        class_names = self._class_names(rows)
        label_of = {name: i for i, name in enumerate(class_names)}
        clips: dict[SplitName, list[Clip]] = {
            split: [replace(row.clip, label=label_of[row.label]) for row in part]
            for split, part in rows.items()
        }
        check_subjects(clips)
        clips = self.present(clips)
        check_recordings(clips, self.root)
        if "val" not in clips:
            clips = self._with_validation(clips)
        return class_names, {split: clips[split] for split in SPLITS}

    def _read_annotations(self) -> dict[SplitName, list[Annotation]]:
        directory = self.root / "annotations"
        for split in ("train", "test"):
            if not (directory / f"{split}.csv").is_file():
                raise InputError(
                    f"{directory} has no {split}.csv; it needs train.csv and test.csv, "
                    "with the columns video,label"
                )
        return {
            split: self._read_csv(directory / f"{split}.csv")
            for split in SPLITS
            if (directory / f"{split}.csv").is_file()
        }

    def _read_csv(self, path: Path) -> list[Annotation]:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, skipinitialspace=True, restkey="", restval="")
                columns = [str(name).strip() for name in reader.fieldnames or ()]
                reader.fieldnames = columns
                for needed in ("video", "label"):
                    if needed not in columns:
                        raise InputError(
                            f"{path}, line 1: no column {needed!r}; it has "
                            f"{', '.join(columns) or 'none'}, and may have {', '.join(COLUMNS)}"
                        )
                rows = [self._row(fields, f"{path}, line {reader.line_num}") for fields in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: is no CSV file in UTF-8 ({error})") from error
        if not rows:
            raise InputError(f"{path}: has no rows; a row is video,label")
        return rows

    def _row(self, fields: Mapping[str, str], where: str) -> Annotation:
        if "" in fields:
            raise InputError(f"{where}: more fields than columns")
        values = {name: (fields.get(name) or "").strip() for name in COLUMNS}
        for needed in ("video", "label"):
            if not values[needed]:
                raise InputError(f"{where}: no {needed}")
        start, end = _seconds(values, "start", where), _seconds(values, "end", where)
        if end is not None and end <= (start or 0.0):
            raise InputError(f"{where}: end {end:g} s is not after start {start or 0:g} s")
        path = self.root / values["video"]
        if not path.is_file():
            inside = self.root / "videos" / values["video"]
            if inside.is_file():
                path = inside
            elif not self.allow_missing:
                raise InputError(
                    f"{where}: no file {values['video']!r} in {self.root}; correct the path, or "
                    "go on without such rows with dataset.allow_missing=true"
                )
        clip = Clip(path, -1, start, end, group=values["subject"], view=values["view"])
        return Annotation(clip, values["label"], where)

    def _read_directories(self) -> dict[SplitName, list[Annotation]]:
        for split in ("train", "test"):
            if not (self.root / split).is_dir():
                raise InputError(
                    f"{self.root} has neither annotations/ nor {split}/; it needs "
                    "annotations/{train,val,test}.csv or {train,val,test}/<class>/*"
                )
        return {
            split: self._read_directory(self.root / split)
            for split in SPLITS
            if (self.root / split).is_dir()
        }

    def _read_directory(self, directory: Path) -> list[Annotation]:
        files = sorted(directory.glob("*/*"))
        rows = [
            Annotation(Clip(path, -1), path.parent.name, str(path))
            for path in files
            if path.suffix.lower() in VIDEO_SUFFIXES
        ]
        if not rows:
            raise InputError(
                f"{directory}: has no <class>/<video>, a video being one of "
                f"{', '.join(VIDEO_SUFFIXES)}"
            )
        return rows

    def _class_names(self, rows: Mapping[SplitName, list[Annotation]]) -> list[str]:
        path = self.root / "classes.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            names = [line.strip() for line in lines if line.strip()]
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise InputError(f"{path}: names class {name!r} twice")
            known, right = set(names), "is not in classes.txt"
        else:
            known = {row.label for row in rows["train"]}
            number = all(name.isdigit() for name in known)
            names = sorted(known, key=(lambda name: int(name)) if number else None)
            right = "has no training clip; correct it, or list the classes in classes.txt"
        for part in rows.values():
            for row in part:
                if row.label not in known:
                    raise InputError(f"{row.where}: label {row.label!r} {right}")
        return names

    def _with_validation(
        self, clips: Mapping[SplitName, list[Clip]]
    ) -> dict[SplitName, list[Clip]]:
        """Subjects out of the training split; where they are unknown, recordings."""
        train = clips["train"]
        recordings = recordings_of([clip] for clip in train)
        groups = joined((c.group or str(c.path), str(recordings[c.path])) for c in train)
        members = [(group, clip.label) for group, clip in zip(groups, train, strict=True)]
        where = f"{self.root}: there is no validation split, and in the training split"
        held_out = held_out_groups(members, self.val_fraction, self.val_seed, where)
        pairs = list(zip(groups, train, strict=True))
        return {
            "train": [clip for group, clip in pairs if group not in held_out],
            "val": [clip for group, clip in pairs if group in held_out],
            "test": clips["test"],
        }


def _seconds(values: Mapping[str, str], name: str, where: str) -> float | None:
    text = values[name]
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"{where}: {name} {text!r} is not a number of seconds, from 0 on")
    return seconds
