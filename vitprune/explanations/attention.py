"""``explain=attention``: where heads look, as strips and clips."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vitprune.explain import pictures
from vitprune.explain.attention import ROLLOUT, AttentionMap
from vitprune.explanations.choosing import (
    choose_clips,
    density_of,
    given_heads,
    maps_of,
    most_relevant,
)
from vitprune.explanations.subject import Desk
from vitprune.importance import Unit


def attention(desk: Desk) -> dict[str, Any]:
    """Strips and clips of where given heads look, side by side; or of attention rollout."""
    cfg, subject = desk.cfg, desk.load(same_classes=False)
    heads: list[Unit] = []
    if cfg.query != ROLLOUT:
        heads = given_heads(subject, cfg.head) or most_relevant(subject)
    numbers = choose_clips(subject)
    written = []
    for number in numbers:
        clip = subject.clip(cfg.split, number)
        video = subject.video_name(cfg.split, number)
        frames, maps = subject.frames(clip), maps_of(subject, clip, heads, video)
        rows = {_row_name(name, found): density_of(found)[0] for name, found in maps.items()}
        label = subject.label_name(cfg.split, number)
        how = f"{subject.model.spec.name}, query={cfg.query}"
        stem = re.sub(r"[^\w.-]+", "_", f"{Path(video).stem}-{'-'.join(maps)}")
        pictures.write_strip(
            desk.directory / f"{stem}.png", frames, rows, title=f"{video} ({label}): {how}"
        )
        pictures.write_clip(desk.directory / f"{stem}.mp4", frames, rows, title=f"{label}: {how}")
        desk.picture(f"{stem}.png")
        desk.tracker.video(f"explain/{stem}", desk.directory / f"{stem}.mp4")
        written.append(f"{stem}.png")
    return {"head": [str(head) for head in heads], "pictures": written}


def _row_name(head: str, found: AttentionMap) -> str:
    """Heads of one model may have tokens of different sizes."""
    return f"{head if head == ROLLOUT else f'head {head}'}\n{found.sizes()}"
