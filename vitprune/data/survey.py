"""A whole dataset looked at, file by file: what is in it, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.progress import track

from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SPLITS, SplitName
from vitprune.data.index_store import IndexStore
from vitprune.data.reading import index_video, read_frames
from vitprune.data.recordings import described, shared_moments, shared_subjects
from vitprune.data.source import VideoIndex
from vitprune.errors import InputError

AT_ONCE = 32
"""Frames that are decoded before they are let go of."""
SMALL, THUMBNAIL = 32, 120
"""Short sides, in pixels: of frames that are only to be decoded, and of pictures of a class."""


@dataclass(frozen=True)
class Finding:
    """Something about a dataset.

    Attributes:
        kind: what sort of thing: ``annotation``, ``unreadable``, ``damage``, ``span``,
            ``duplicate``, ``shared``, ``class``.
        line: what and where.
        wrong: whether it is to be put right, or only to be known.
    """

    kind: str
    line: str
    wrong: bool = True


@dataclass(frozen=True)
class Survey:
    """What a dataset has in it.

    Attributes:
        class_names: in their order.
        splits: facts of every split, by name: ``clips``, ``files``, ``subjects``, ``views``,
            ``seconds`` (least, median, most), ``rates`` and ``sizes`` with how many files each has.
        counts: clips of every class, by split.
        thumbnails: uint8 [H, W, 3], a frame from the middle of a clip, by class.
        findings: those that are wrong first.
    """

    class_names: Sequence[str] = ()
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    thumbnails: Mapping[str, np.ndarray] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    @property
    def wrong(self) -> int:
        """How many findings are to be put right."""
        return sum(finding.wrong for finding in self.findings)


@dataclass(frozen=True)
class _Looked:
    """A file: its index, and a line for everything that is wrong with it."""

    index: VideoIndex | None
    findings: tuple[Finding, ...] = ()


def survey(data: VideoDataModule, *, decode: bool = True) -> Survey:
    """Look at every annotation, every file and, if wanted, every frame of a dataset.

    Args:
        data: made with ``on_error="skip"``, and not set up.
        decode: whether all frames are decoded. Without, only what containers say is read.
    """
    try:
        class_names, clips = data.read_split_clips(checked=False)
    except InputError as error:
        lines = [*_left_out(data), Finding("annotation", str(error))]
        return Survey(findings=lines)
    findings = _left_out(data)
    paths = list(dict.fromkeys(clip.path for part in clips.values() for clip in part))
    looked = dict(zip(paths, _look(paths, decode, data.indexes), strict=True))
    findings += [finding for file in looked.values() for finding in file.findings]
    findings += _spans(clips, looked, data.root)
    findings += _shared(data, clips)
    findings += _classes(class_names, clips)
    return Survey(
        class_names=class_names,
        splits={split: _facts(clips[split], looked) for split in SPLITS},
        counts={
            split: np.bincount([c.label for c in part], minlength=len(class_names)).tolist()
            for split, part in clips.items()
        },
        thumbnails=_thumbnails(class_names, clips, looked, data.indexes),
        findings=sorted(findings, key=lambda finding: not finding.wrong),
    )


def _left_out(data: VideoDataModule) -> list[Finding]:
    return [Finding("annotation", line) for part in data.left_out.values() for line in part]


def _look(paths: Sequence[Path], decode: bool, indexes: IndexStore | None) -> Iterable[_Looked]:
    def look(path: Path) -> _Looked:
        try:
            index = index_video(path, indexes)
        except InputError as error:
            return _Looked(None, (Finding("unreadable", str(error)),))
        return _Looked(index, tuple(_damage(path, index, indexes)) if decode else ())

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        yield from track(pool.map(look, paths), "Looking at every file", total=len(paths))


def _damage(path: Path, index: VideoIndex, indexes: IndexStore | None) -> Iterable[Finding]:
    """The first damage in a file."""
    size = _shrunk(index, SMALL)
    try:
        for first in range(0, len(index), AT_ONCE):
            wanted = range(first, min(first + AT_ONCE, len(index)))
            read_frames(path, wanted, size, indexes)
    except InputError as error:
        yield Finding("damage", str(error))


def _shrunk(index: VideoIndex, short: int) -> tuple[int, int]:
    scale = min(1.0, short / min(index.height, index.width))
    return max(1, round(scale * index.height)), max(1, round(scale * index.width))


def _spans(
    clips: Mapping[SplitName, Sequence[Clip]], looked: Mapping[Path, _Looked], root: Path
) -> list[Finding]:
    """Clips that begin behind the end of their video, or end far behind it."""
    found = []
    for split, part in clips.items():
        for clip in part:
            index = looked[clip.path].index
            if index is None:
                continue
            last = len(index) if clip.unit == "frames" else float(index.times[-1])
            slack = 1 if clip.unit == "frames" else 1.0  # lists are rounded to seconds
            who = described((split, clip), root)
            if clip.start is not None and clip.start > last - (clip.unit == "frames"):
                found.append(Finding("span", f"{who}: begins behind the video's end, {last:g}"))
            elif clip.end is not None and clip.end > last + slack:
                found.append(Finding("span", f"{who}: ends behind the video's end, {last:g}"))
    return found


def _shared(data: VideoDataModule, clips: Mapping[SplitName, Sequence[Clip]]) -> list[Finding]:
    found = [
        Finding(
            "shared",
            f"{data.whom} {name!r} is in the splits {' and '.join(splits)}",
            wrong=not data.shares_groups,
        )
        for name, splits in shared_subjects(clips).items()
    ]
    for one, other in shared_moments(clips):
        line = f"{described(one, data.root)} and {described(other, data.root)} show the same"
        found.append(Finding("duplicate", line))
    return found


def _classes(
    class_names: Sequence[str], clips: Mapping[SplitName, Sequence[Clip]]
) -> list[Finding]:
    has = {split: {clip.label for clip in part} for split, part in clips.items()}
    found = []
    for label, name in enumerate(class_names):
        tested = [split for split in ("val", "test") if label in has[split]]
        if label in has["train"]:
            if not tested:
                found.append(Finding("class", f"{name!r} has only training clips", wrong=False))
        elif tested:
            found.append(Finding("class", f"{name!r} has no training clip"))
        else:
            found.append(Finding("class", f"{name!r} has no clip", wrong=False))
    return found


def _facts(clips: Sequence[Clip], looked: Mapping[Path, _Looked]) -> dict[str, Any]:
    indexes = {clip.path: looked[clip.path].index for clip in clips}
    known = [index for index in indexes.values() if index is not None]
    seconds = sorted(
        _seconds(clip, index) for clip in clips if (index := indexes[clip.path]) is not None
    )
    return {
        "clips": len(clips),
        "files": len(indexes),
        "subjects": len({clip.group for clip in clips} - {""}),
        "views": sorted({clip.view for clip in clips} - {""}),
        "seconds": [seconds[0], median(seconds), seconds[-1]] if seconds else None,
        "rates": _counted(_rate(index) for index in known),
        "sizes": _counted(f"{index.width}x{index.height}" for index in known),
    }


def _seconds(clip: Clip, index: VideoIndex) -> float:
    step = 1 / _frame_rate(index)
    length = float(index.times[-1]) + step
    start, end = clip.start or 0.0, length if clip.end is None else clip.end
    if clip.unit == "frames":
        start *= step
        end = length if clip.end is None else clip.end * step
    return round(max(0.0, min(end, length) - start), 3)


def _frame_rate(index: VideoIndex) -> float:
    if len(index) < 2 or index.times[-1] <= 0:
        return 25.0
    return (len(index) - 1) / float(index.times[-1])


def _rate(index: VideoIndex) -> str:
    return f"{_frame_rate(index):.4g}"


def _counted(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _thumbnails(
    class_names: Sequence[str],
    clips: Mapping[SplitName, Sequence[Clip]],
    looked: Mapping[Path, _Looked],
    indexes: IndexStore | None,
) -> dict[str, np.ndarray]:
    """A frame of the first clip of each class that can be read."""
    found: dict[str, np.ndarray] = {}
    for clip in (clip for split in SPLITS for clip in clips[split]):
        name, index = class_names[clip.label], looked[clip.path].index
        if name in found or index is None:
            continue
        first, last = 0, len(index)
        if clip.unit == "frames":
            first, last = int(clip.start or 0), min(int(clip.end or last), last)
        else:
            first, last = index.span(clip.start, clip.end)
        middle = min((first + last) // 2, len(index) - 1)
        try:
            size = _shrunk(index, THUMBNAIL)
            found[name] = read_frames(clip.path, [middle], size, indexes)[0]
        except InputError:
            continue
    return found
