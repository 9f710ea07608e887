"""Drive&Act (Martin et al., ICCV 2019) in its own layout and its three splits.

``<view>/<file_id>.mp4``, a ``file_id`` being ``vp1/run1b_2018-05-29-14-02-47.ids_1``, and
``activities_3s/<view>/<level>.chunks_90.split_{0,1,2}.{train,val,test}.csv`` with the columns
``participant_id,file_id,annotation_id,frame_start,frame_end,activity,chunk_id``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from vitprune.data.annotations import Annotation, Row, in_order, numbered, rows_of
from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SPLITS, SplitName
from vitprune.data.options import choice
from vitprune.errors import InputError

Level = Literal["midlevel", "tasklevel"]
NEEDED = ("participant_id", "file_id", "frame_start", "frame_end", "activity")
ANNOTATIONS = ("activities_3s", "iccv_activities_3s/activities_3s")
"""Where the lists are: in the root, or unpacked with the archive's own folder."""


class DriveAndActDataModule(VideoDataModule):
    """Drive&Act. A clip is a chunk of at most 90 frames; participants never cross splits.

    ``view=all`` takes the views that have both lists and videos.

    Args:
        level: of the annotation: ``midlevel``, fine-grained activities, or ``tasklevel``.
        options: see :class:`~vitprune.data.base.VideoDataModule`.
    """

    official_splits: ClassVar[tuple[int, ...]] = (0, 1, 2)
    whom: ClassVar[str] = "participant"

    def __init__(self, *, level: Level = "midlevel", **options: Any) -> None:
        super().__init__(**options)
        self.level = choice("level", level, get_args(Level))

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are the sorted activities of all three lists."""
        folders = [self.root / name for name in ANNOTATIONS if (self.root / name).is_dir()]
        if not folders:
            raise InputError(f"{self.root} has no activities_3s/; it is in iccv_activities_3s.zip")
        annotated = sorted(path.name for path in folders[0].iterdir() if path.is_dir())
        known = [view for view in annotated if (self.root / view).is_dir()]
        if not known:
            raise InputError(
                f"{self.root}: has the videos of none of the views of {folders[0].name} "
                f"({', '.join(annotated) or 'none'}); they belong in <view>/<file_id>.mp4"
            )
        views = self.views_among(known)
        rows: dict[SplitName, list[Annotation]] = {split: [] for split in SPLITS}
        for split in SPLITS:
            name = f"{self.level}.chunks_90.split_{self.split}.{split}.csv"
            for view in views:
                rows[split] += self._read_list(folders[0] / view / name, view, split)
        class_names = in_order(row.label for part in rows.values() for row in part)
        return class_names, numbered(rows, class_names, self.wrong, "is unknown")

    def _read_list(self, path: Path, view: str, split: SplitName) -> list[Annotation]:
        found = []
        for row in rows_of(path, NEEDED):
            with self.each(split):
                found.append(self._annotation(row, view))
        return found

    def _annotation(self, row: Row, view: str) -> Annotation:
        start, end = row.frame("frame_start"), row.frame("frame_end")
        if end <= start:
            raise InputError(
                f"{row.where}: frame_end {end} is not after frame_start {start}; it is exclusive"
            )
        path = self.root / view / f"{row.text('file_id')}.mp4"
        who = f"vp{row.text('participant_id')}"
        clip = Clip(path, -1, start, end, group=who, view=view, unit="frames")
        return Annotation(clip, row.text("activity"), row.where)
