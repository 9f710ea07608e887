"""``explain=attention``: where heads look, as strips and clips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vitprune.heads.attention import ROLLOUT, AttentionMap
from vitprune.importance import Unit
from vitprune.report import pictures
from vitprune.tasks.explain.choosing import (
    choose_clips,
    density_of,
    given_heads,
    maps_of,
    most_relevant,
)
from vitprune.tasks.explain.study import Study

LONGEST = 200
"""Most characters in the name of a picture; file systems take 255 bytes."""


def attention(study: Study) -> dict[str, Any]:
    """Strips and clips of where given heads look, side by side; or of attention rollout."""
    cfg, probe = study.cfg, study.load(same_classes=False)
    heads: list[Unit] = []
    if cfg.query != ROLLOUT:
        heads = given_heads(probe, cfg.head) or most_relevant(probe)
    numbers = choose_clips(probe)
    videos = [probe.video_name(cfg.split, number) for number in numbers]
    shown = [ROLLOUT] if cfg.query == ROLLOUT else [str(head) for head in heads]
    written = []
    for number, video, stem in zip(numbers, videos, picture_stems(videos, shown), strict=True):
        clip = probe.clip(cfg.split, number)
        frames, maps = probe.frames(clip), maps_of(probe, clip, heads, video)
        rows = {_row_name(name, found): density_of(found)[0] for name, found in maps.items()}
        label = probe.label_name(cfg.split, number)
        how = f"{probe.model.spec.name}, query={cfg.query}"
        pictures.write_strip(
            study.directory / f"{stem}.png", frames, rows, title=f"{video} ({label}): {how}"
        )
        pictures.write_clip(study.directory / f"{stem}.mp4", frames, rows, title=f"{label}: {how}")
        study.picture(f"{stem}.png")
        study.run.tracker.video(f"explain/{stem}", study.directory / f"{stem}.mp4")
        written.append(f"{stem}.png")
    return {"head": [str(head) for head in heads], "pictures": written}


def picture_stems(videos: Sequence[str], heads: Sequence[str]) -> list[str]:
    """A file name without its ending for each of several videos, no two alike.

    It is the video's name (see :meth:`vitprune.data.dataset.VideoDataset.name`) and the heads'; a
    number is added where these are alike in letters that every file system can tell apart.

    >>> picture_stems(["a/x.mp4", "b/x.mp4", "b/x.mp4#t=0,2.5", "b_x.mp4"], ["4.1"])
    ['a_x.mp4-4.1', 'b_x.mp4-4.1', 'b_x.mp4_t_0,2.5-4.1', 'b_x.mp4-4.1-2']
    """
    stems: list[str] = []
    taken = set()
    for video in videos:
        name = re.sub(r"[^\w.,-]+", "_", video).lstrip("._")
        stem = unique = f"{name}-{'-'.join(heads)}"[:LONGEST]
        number = 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        stems.append(unique)
    return stems


def _row_name(head: str, found: AttentionMap) -> str:
    """Heads of one model may have tokens of different sizes."""
    return f"{head if head == ROLLOUT else f'head {head}'}\n{found.sizes()}"
