"""Looking through video files before anything rests on them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from vitprune.data.dataset import VideoDataset
from vitprune.errors import InputError
from vitprune.files import replacing, state_of


def check_videos(
    datasets: Iterable[VideoDataset],
    *,
    decode: bool = False,
    remembered: Path | None = None,
    skip: bool = False,
) -> list[dict[int, str]]:
    """Open every file, and see that every clip lies within it.

    Args:
        datasets: the splits to look through.
        decode: whether the frames that evaluation shows are decoded, too.
        remembered: a folder that keeps a note of what has been looked through, so that what was in
            order is not looked at again until a file changes.
        skip: go on to the end.

    Returns:
        Of each dataset, the numbers of the clips that cannot be used, and why.

    Raises:
        InputError: the first clip, in order, that cannot be used; not with ``skip``.
    """
    return [_check(dataset, decode, remembered, skip) for dataset in datasets]


def _check(
    dataset: VideoDataset, decode: bool, remembered: Path | None, skip: bool
) -> dict[int, str]:
    note = None if remembered is None else remembered / _name(dataset, decode)
    numbers: Sequence[int] = range(len(dataset))
    if note is not None and note.exists():
        # what was wrong may have been a disk that was away
        numbers = [int(number) for number in json.loads(note.read_text() or "[]")]

    def wrong(number: int) -> str:
        try:
            dataset.check(number, decode=decode)
        except InputError as error:
            return str(error)
        return ""

    found: dict[int, str] = {}
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        lines = track(
            pool.map(wrong, numbers),
            "Looking through the videos",
            total=len(numbers),
            transient=True,
            disable=len(numbers) < 1000,
        )
        try:
            for number, line in zip(numbers, lines, strict=True):
                if line and not skip:
                    raise InputError(line)
                if line:
                    found[number] = line
        finally:
            pool.shutdown(cancel_futures=True)
    if note is not None:
        with replacing(note) as temporary:
            temporary.write_text(json.dumps(sorted(found)))
    return found


def _name(dataset: VideoDataset, decode: bool) -> str:
    """Says which files and clips, as they are now, and how closely they are looked at."""
    rows = []
    for clip in dataset.clips:
        span = [clip.start, clip.end, clip.unit]
        rows.append([str(clip.path), *span, *state_of(clip.path)])
    frames = [dataset.spec.num_frames, dataset.spec.sampling, dataset.spec.stride]
    return hashlib.sha256(json.dumps([rows, decode and frames]).encode()).hexdigest()[:32]
