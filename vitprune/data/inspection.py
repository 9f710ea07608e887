"""Looking through video files before anything rests on them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from vitprune.data.dataset import VideoDataset
from vitprune.files import replacing


def check_videos(
    datasets: Iterable[VideoDataset], *, decode: bool = False, remembered: Path | None = None
) -> None:
    """Open every file, and see that every clip lies within it.

    Args:
        datasets: the splits to look through.
        decode: whether the frames that evaluation shows are decoded, too.
        remembered: a folder that keeps a note of what has been found in order, so that it is not
            looked through again until a file changes.

    Raises:
        InputError: the first clip, in order, that cannot be used.
    """
    for dataset in datasets:
        note = None if remembered is None else remembered / _name(dataset, decode)
        if note is not None and note.exists():
            continue
        with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
            checks = pool.map(lambda i, d=dataset: d.check(i, decode=decode), range(len(dataset)))
            try:
                for _ in track(
                    checks,
                    "Looking through the videos",
                    total=len(dataset),
                    transient=True,
                    disable=len(dataset) < 1000,
                ):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)
        if note is not None:
            with replacing(note) as temporary:
                temporary.write_text("")


def _name(dataset: VideoDataset, decode: bool) -> str:
    """Says which files and clips, as they are now, and how closely they are looked at."""
    rows = []
    for clip in dataset.clips:
        stat = clip.path.stat()
        span = [clip.start, clip.end, clip.unit]
        rows.append([str(clip.path), *span, stat.st_size, stat.st_mtime_ns])
    frames = [dataset.spec.num_frames, dataset.spec.sampling, dataset.spec.stride]
    return hashlib.sha256(json.dumps([rows, decode and frames]).encode()).hexdigest()[:32]
