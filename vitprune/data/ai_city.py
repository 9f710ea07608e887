"""AI City Challenge, naturalistic driving actions: SynDD1 and SynDD2 (Rahman et al., 2023).

``A1/user_id_X/<name>.MP4`` of three cameras, and ``A1/user_id_X/user_id_X.csv`` with the columns
``Filename,Start Time,End Time,Label (Primary)`` among others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, NamedTuple

from vitprune.data.annotations import VIDEO_SUFFIXES, Annotation, Row, numbered, rows_of
from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SplitName
from vitprune.errors import InputError

FILE, START, END, LABEL = "Filename", "Start Time", "End Time", "Label (Primary)"
NAME = re.compile(
    r"(?P<view>dashboard|rear|right).*?user_?id_(?:noaudio_)?(?P<user>\d+)_(?:noaudio_)?(?P<number>\d+)",
    re.IGNORECASE,
)
"""``Rear_view_User_id_24026_3`` and ``Rearview_mirror_user_id_24026_NoAudio_3`` are the same."""
VIEWS = {"dashboard": "dashboard", "rear": "rear_view", "right": "right_side_window"}
CLASS = re.compile(r"(?:class\s*)?(\d+)", re.IGNORECASE)
UNLABELLED = ("", "na", "n/a", "nan")


class Recording(NamedTuple):
    """What the name of a video says, however it is spelt."""

    view: str
    user: str
    number: int


class AICityDataModule(VideoDataModule):
    """The labelled part of the data, A1. Users make the splits, as there are no official ones.

    A video's name stands in the first of its rows only, and is spelt otherwise than on the disk;
    both are read as view, user and number. Rows with ``NA`` for a label are passed over. Times are
    ``h:m:s``.

    See :class:`~vitprune.data.base.VideoDataModule` for the arguments.
    """

    whom: ClassVar[str] = "user"

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are ``Class 0``, ``Class 1``, ... as the lists call them."""
        inside = self.root / "A1"
        root = inside if inside.is_dir() else self.root
        folders = sorted(path for path in root.glob("user_id_*") if path.is_dir())
        if not folders:
            raise InputError(f"{root}: has no user_id_X/; it is the folder A1 of the challenge")
        rows = [row for folder in folders for row in self._read_list(folder)]
        known = {row.label for row in rows}
        class_names = sorted(known, key=lambda name: int(name.removeprefix("Class ")))
        return class_names, numbered({"train": rows}, class_names, self.wrong, "is unknown")

    def _read_list(self, folder: Path) -> list[Annotation]:
        user = folder.name.removeprefix("user_id_")
        videos: dict[Recording, Path] = {}
        rows: list[Row] = []
        with self.each():
            videos = _videos(folder)
            rows = list(rows_of(folder / f"{folder.name}.csv", (FILE, START, END, LABEL)))
        found: list[Annotation] = []
        named, video = False, None
        for row in rows:
            with self.each():
                if row[FILE]:
                    named, video = True, None  # rows below a wrong name are left out with it
                    video = _find(row, user, videos)
                if not named:
                    raise InputError(f"{row.where}: no {FILE}, and none in a row above")
                if row[LABEL].lower() not in UNLABELLED:
                    if video is None:
                        raise InputError(f"{row.where}: it is of the video that is wrong above")
                    found.append(_annotation(row, *video))
        return found


def recording(name: str) -> Recording | None:
    """What a video's name says; None for a name of another form.

    >>> recording("Rear_view_User_id_24026_3")
    Recording(view='rear_view', user='24026', number=3)
    >>> recording("Rearview_mirror_user_id_24026_NoAudio_3.MP4")
    Recording(view='rear_view', user='24026', number=3)
    """
    match = NAME.match(name.replace(" ", "_"))
    if match is None:
        return None
    return Recording(VIEWS[match["view"].lower()], match["user"], int(match["number"]))


def _videos(folder: Path) -> dict[Recording, Path]:
    found: dict[Recording, Path] = {}
    for path in sorted(folder.iterdir()):
        known = recording(path.name)
        if known is None or path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        if known in found:
            raise InputError(
                f"{folder}: {found[known].name} and {path.name} are both video {known.number} of "
                f"user {known.user}, {known.view}; take one of them away"
            )
        found[known] = path
    return found


def _find(row: Row, user: str, videos: dict[Recording, Path]) -> tuple[Recording, Path]:
    name = row[FILE]
    wanted = recording(name)
    if wanted is None:
        raise InputError(
            f"{row.where}: {FILE} {name!r} is not of the form <view>_user_id_X_N, a view being "
            "Dashboard, Rear_view or Right_side_window"
        )
    if wanted.user != user:
        raise InputError(f"{row.where}: {FILE} {name!r} is of user {wanted.user}, not {user}")
    if wanted not in videos:
        raise InputError(f"{row.where}: no video for {FILE} {name!r} beside the list")
    return wanted, videos[wanted]


def _annotation(row: Row, video: Recording, path: Path) -> Annotation:
    label = CLASS.fullmatch(row[LABEL])
    if label is None:
        raise InputError(f"{row.where}: {LABEL} {row[LABEL]!r} is neither 'Class N' nor NA")
    start, end = _seconds(row, START), _seconds(row, END)
    if end <= start:
        raise InputError(f"{row.where}: {END} {row[END]} is not after {START} {row[START]}")
    clip = Clip(path, -1, start, end, group=video.user, view=video.view)
    return Annotation(clip, f"Class {int(label[1])}", row.where)


def _seconds(row: Row, column: str) -> float:
    """Of ``h:m:s``, which some spreadsheets have made ``12:m:s AM``."""
    text, _, half = row[column].partition(" ")
    parts = text.split(":")
    try:
        hours, minutes, seconds = int(parts[0]), int(parts[1]), float(parts[2])
        right = len(parts) == 3 and 0 <= minutes < 60 and 0 <= seconds < 60 and hours >= 0
    except (ValueError, IndexError):
        right = False
    if not right or half.upper() not in ("", "AM", "PM"):
        raise InputError(f"{row.where}: {column} {row[column]!r} is no time h:m:s")
    return 3600 * (hours % 12 if half else hours) + 60 * minutes + seconds
