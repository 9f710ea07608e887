"""What two splits must not share: a subject, or a moment of a recording."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vitprune.data.dataset import Clip
from vitprune.data.groups import SplitName
from vitprune.errors import InputError
from vitprune.files import content_digest

Member = tuple[SplitName, Clip]
"""A split, and a clip in it."""


def shared_subjects(clips: Mapping[SplitName, Sequence[Clip]]) -> dict[str, list[SplitName]]:
    """The subjects that are in more than one split, and in which."""
    seen: dict[str, list[SplitName]] = {}
    for split, part in clips.items():
        for name in {clip.group for clip in part if clip.group}:
            seen.setdefault(name, []).append(split)
    return {name: splits for name, splits in sorted(seen.items()) if len(splits) > 1}


def check_subjects(clips: Mapping[SplitName, Sequence[Clip]], word: str = "subject") -> None:
    """Refuses a subject that is in more than one split.

    Args:
        clips: of every split.
        word: what the dataset calls a subject.

    Raises:
        InputError: names the subject and the splits.
    """
    for name, (one, other, *_) in shared_subjects(clips).items():
        raise InputError(
            f"{word} {name!r} is in both the {one} and the {other} split; "
            f"a {word} must be in one of them"
        )


def check_recordings(clips: Mapping[SplitName, Sequence[Clip]], root: Path) -> None:
    """Refuses a moment of a recording that is in more than one split.

    Other moments of it may be: with a warning, where subjects are not known, as the same person
    may be in both.

    Args:
        clips: of every split; the files are there.
        root: what paths are relative to in messages.

    Raises:
        InputError: names the files, the splits and the spans; or a file that cannot be read.
    """
    shared = _shared(clips)
    if overlaps := [overlap for found in shared if (overlap := _overlap(found))]:
        one, other = overlaps[0]
        same = "the same file" if one[1].path == other[1].path else "files of the same content"
        spans = " and their spans overlap" if {*map(_times, (one, other))} != {""} else ""
        more = f" (and so in {_counted(len(overlaps) - 1, 'more ')})" if len(overlaps) > 1 else ""
        raise InputError(
            f"{described(one, root)} and {described(other, root)} are {same}{spans}{more}; "
            "a moment of a recording must be in one split"
        )
    doubtful = [found for found in shared if not all(clip.group for _, clip in found)]
    if doubtful:
        warnings.warn(
            f"{sum(map(len, doubtful))} clips are of {_counted(len(doubtful))} of which several "
            "splits have a part, at different times; as not all of their subjects are known, the "
            "same driver may be in both",
            stacklevel=2,
        )


def shared_moments(clips: Mapping[SplitName, Sequence[Clip]]) -> list[tuple[Member, Member]]:
    """Of each recording of which several splits have the same moment, two clips that do."""
    return [overlap for found in _shared(clips) if (overlap := _overlap(found))]


def _shared(clips: Mapping[SplitName, Sequence[Clip]]) -> list[list[Member]]:
    """Of each recording of which several splits have a part, its clips."""
    recordings = recordings_of(clips.values())
    members: dict[Path, list[Member]] = {}
    for split, part in clips.items():
        for clip in part:
            members.setdefault(recordings[clip.path], []).append((split, clip))
    return [found for found in members.values() if len({split for split, _ in found}) > 1]


def recordings_of(parts: Iterable[Sequence[Clip]]) -> dict[Path, Path]:
    """Each clip's file to the first file that is the same: by its place on the disk or its content.

    Only files of equal size in different parts are read, so that thousands of files cost little.

    Raises:
        InputError: a file that is not there or cannot be read.
    """
    stats: dict[Path, os.stat_result] = {}
    alike: dict[int, set[tuple[int, tuple[int, int]]]] = {}  # size -> (part, file)
    try:
        for number, part in enumerate(parts):
            for clip in part:
                if clip.path not in stats:
                    stats[clip.path] = clip.path.stat()
                stat = stats[clip.path]
                alike.setdefault(stat.st_size, set()).add((number, _place(stat)))
        first: dict[object, Path] = {}
        found = {}
        for path, stat in stats.items():
            numbers, places = map(set, zip(*alike[stat.st_size], strict=True))
            doubtful = len(numbers) > 1 and len(places) > 1
            found[path] = first.setdefault(content_digest(path) if doubtful else _place(stat), path)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return found


def _place(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _overlap(members: Iterable[Member]) -> tuple[Member, Member] | None:
    """Two clips of a recording, of different splits, that have a moment in common."""
    latest: dict[SplitName, Member] = {}  # of each split, the clip so far that ends last
    for member in sorted(members, key=lambda member: member[1].start or 0.0):
        split, clip = member
        for other, before in latest.items():
            if other != split and _end(before[1]) > (clip.start or 0.0):
                return before, member
        if split not in latest or _end(clip) > _end(latest[split][1]):
            latest[split] = member
    return None


def _end(clip: Clip) -> float:
    return math.inf if clip.end is None else clip.end


def _times(member: Member) -> str:
    """``, 2 s to the end``; nothing for a whole file."""
    clip = member[1]
    if clip.start is None and clip.end is None:
        return ""
    written = "{:g} s" if clip.unit == "seconds" else "frame {:g}"
    start = "the beginning" if clip.start is None else written.format(clip.start)
    return f", {start} to {'the end' if clip.end is None else written.format(clip.end)}"


def _counted(count: int, more: str = "") -> str:
    return f"{count} {more}recording{'s' * (count != 1)}"


def described(member: Member, root: Path) -> str:
    """A clip with its split and span: ``videos/a.mp4 (train, 2 s to the end)``."""
    split, clip = member
    return f"{os.path.relpath(clip.path, root)} ({split}{_times(member)})"
