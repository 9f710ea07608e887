"""Scenes to video files, in several processes, and the boxes of what is in every frame."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from vitprune.data.encoding import write_video
from vitprune.demo.layouts import Box, Job, MakeScene, Scene

BOX_COLUMNS = ("video", "frame", "label", "x0", "y0", "x1", "y1")
CHUNK = 8
"""Videos that a process renders before it reports."""

Row = tuple[str, int, str, float, float, float, float]


def render_videos(
    root: Path,
    kind: MakeScene,
    jobs: Sequence[Job],
    *,
    frames: int,
    fps: int,
    seed: int,
    workers: int,
) -> None:
    """Write a video for every job, and ``boxes.csv``; the same bytes for the same seed."""
    for directory in {(root / job.path).parent for job in jobs}:
        directory.mkdir(parents=True, exist_ok=True)
    chunks = [jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK)]
    render = partial(_render_chunk, root, kind, frames=frames, fps=fps, seed=seed)
    rows: dict[int, list[Row]] = {}
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        ProcessPoolExecutor(workers) as pool,
    ):
        bar = progress.add_task(f"rendering {root.name.strip('.')}", total=len(jobs))
        futures = {pool.submit(render, chunk): i for i, chunk in enumerate(chunks)}
        for future in as_completed(futures):
            rows[futures[future]] = future.result()
            progress.advance(bar, len(chunks[futures[future]]))
    with (root / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BOX_COLUMNS)
        for i in range(len(chunks)):
            writer.writerows(rows[i])


def scene_of(kind: MakeScene, job: Job, seed: int) -> Scene:
    """The scene of a job: a subject looks the same in all of them, and every take is another.

    Every second take is a negative, so that no colour tells anything on average.
    """
    name = zlib.crc32(job.action.encode())
    subject = np.random.default_rng([seed, job.who])
    take = np.random.default_rng([seed, job.who, job.take, name])
    return kind(job.action, subject, take, negative=job.take % 2 == 0)


def _render_chunk(
    root: Path, kind: MakeScene, jobs: Sequence[Job], *, frames: int, fps: int, seed: int
) -> list[Row]:
    rows: list[Row] = []
    for job in jobs:
        scene = scene_of(kind, job, seed)
        pictures = [scene.frame(i / max(1, frames - 1)) for i in range(frames)]
        write_video(root / job.path, [np.asarray(p.image) for p in pictures], fps=fps)
        for i, picture in enumerate(pictures):
            rows += [(job.path, i, label, *_rounded(b)) for label, b in picture.boxes.items()]
    return rows


def _rounded(box: Box) -> Box:
    x0, y0, x1, y1 = (round(value, 1) for value in box)
    return (x0, y0, x1, y1)
