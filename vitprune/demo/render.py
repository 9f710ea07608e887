"""Writes the stand-ins: scenes to real video files, in the layouts of DAI and UCF101.

A stand-in is rendered from a seed, once: into a directory beside its own, which is renamed when
it is complete. Jobs that start together wait for the first of them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress

from vitprune.data.video import write_video
from vitprune.demo.car import ACTIONS as CAR_ACTIONS
from vitprune.demo.car import CarScene
from vitprune.demo.figures import Box
from vitprune.demo.sports import ACTIONS as SPORTS_ACTIONS
from vitprune.demo.sports import SportsScene
from vitprune.errors import InputError

VERSION = 4
"""To be raised whenever the same seed renders to something else."""
STAMP = "stand-in.json"
SPLITS = ("train", "val", "test")
TAKES = 2
"""Videos of the same subject (DAI) or group (UCF101) doing the same thing."""
BOX_COLUMNS = ("video", "frame", "label", "x0", "y0", "x1", "y1")

Layout = Literal["dai", "ucf101"]
Row = tuple[str, int, str, float, float, float, float]


@dataclass(frozen=True)
class StandIn:
    """A dataset that is drawn and encoded to real video files, in the layout of a real one.

    Calling it with a directory renders it there, unless it is there already; that is what a
    DataModule takes for its ``demo``.

    Args:
        layout: ``dai`` or ``ucf101``.
        videos_per_class: split -> number of videos of every class; each at least 1.
        frames: per video.
        fps: frames per second.
        seed: of all that is drawn by chance; the same one gives the same bytes.

    Raises:
        InputError: an argument that is out of range.
    """

    layout: Layout
    videos_per_class: Mapping[str, int]
    frames: int = 32
    fps: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InputError(
                f"dataset.demo.layout is {self.layout!r}; it takes {', '.join(LAYOUTS)}"
            )
        sizes = dict(self.videos_per_class)
        if set(sizes) != set(SPLITS) or any(n < 1 for n in sizes.values()):
            raise InputError(
                f"dataset.demo.videos_per_class is {sizes}; it takes train, val and test, "
                "each at least 1"
            )
        for name in ("frames", "fps"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"dataset.demo.{name} is {getattr(self, name)}; it must be at least 1"
                )
        object.__setattr__(self, "videos_per_class", {s: int(sizes[s]) for s in SPLITS})

    def groups(self, split: str) -> int:
        """How many subjects (or groups) a split has."""
        return -(-self.videos_per_class[split] // TAKES)

    def __call__(self, root: Path, *, workers: int = 2) -> bool:
        """Render it to ``root``, unless it is there already.

        Args:
            root: directory; of another stand-in it is replaced, anything else is left alone.
            workers: processes.

        Returns:
            Whether there was anything to do.

        Raises:
            InputError: ``root`` holds something that is no stand-in.
        """
        stamp = self._stamp()
        if _read_stamp(root) == stamp:
            return False
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.parent / f".{root.name}.lock"):
            if _read_stamp(root) == stamp:
                return False
            if root.exists() and _read_stamp(root) is None and any(root.iterdir()):
                raise InputError(
                    f"{root} holds files that are no stand-in; empty it, or set dataset.root to "
                    "where the stand-in may be rendered"
                )
            partial = root.parent / f".{root.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            LAYOUTS[self.layout](partial, self, workers)
            (partial / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
            shutil.rmtree(root, ignore_errors=True)
            partial.rename(root)
        return True

    def _stamp(self) -> dict[str, Any]:
        facts = {"version": VERSION, **asdict(self)}
        text = json.dumps(facts, sort_keys=True)
        return {**facts, "hash": hashlib.sha256(text.encode()).hexdigest()}


@dataclass(frozen=True)
class Job:
    """One video to render: ``who`` does ``action`` for the ``take``-th time."""

    path: str
    action: str
    who: int
    take: int


def _read_stamp(root: Path) -> dict[str, Any] | None:
    try:
        return json.loads((root / STAMP).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _render_dai(root: Path, stand_in: StandIn, workers: int) -> None:
    annotations = root / "annotations"
    annotations.mkdir(parents=True)
    jobs: list[Job] = []
    first = 1
    for split in SPLITS:
        subjects = range(first, first + stand_in.groups(split))
        first = subjects.stop
        with (annotations / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("video", "label", "subject", "view"))
            for action in CAR_ACTIONS:
                for who, take in _takes(subjects, stand_in.videos_per_class[split]):
                    path = f"videos/s{who:02d}/{action}_{take}.mp4"
                    jobs.append(Job(path, action, who, take))
                    writer.writerow((path, action, f"s{who:02d}", "front"))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CAR_ACTIONS))
    _render_all(root, "dai", jobs, stand_in, workers)


def _render_ucf101(root: Path, stand_in: StandIn, workers: int) -> None:
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    number = {name: i for i, name in enumerate(SPORTS_ACTIONS, 1)}
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for name, i in number.items()))
    sizes = stand_in.videos_per_class
    training = sizes["train"] + sizes["val"]
    tested = stand_in.groups("test")
    groups = range(1, 1 + tested + -(-training // TAKES))
    jobs = []
    for action in SPORTS_ACTIONS:
        for who, take in _takes(groups, len(groups) * TAKES):
            path = f"UCF-101/{action}/v_{action}_g{who:02d}_c{take:02d}.avi"
            jobs.append(Job(path, action, who, take))
    for split in (1, 2, 3):
        start = tested * (split - 1)
        held_out = {1 + (start + i) % len(groups) for i in range(tested)}
        train = (lists / f"trainlist0{split}.txt").open("w", newline="\n")
        test = (lists / f"testlist0{split}.txt").open("w", newline="\n")
        with train, test:
            for job in jobs:
                name = job.path.removeprefix("UCF-101/")
                if job.who in held_out:
                    test.write(f"{name}\n")
                else:
                    train.write(f"{name} {number[job.action]}\n")
    _render_all(root, "ucf101", jobs, stand_in, workers)


LAYOUTS: dict[Layout, Callable[[Path, StandIn, int], None]] = {
    "dai": _render_dai,
    "ucf101": _render_ucf101,
}


def _takes(people: Sequence[int], videos: int) -> Iterator[tuple[int, int]]:
    """(who, take) for so many videos of one class, takes from 1."""
    for i in range(videos):
        yield people[i // TAKES], 1 + i % TAKES


def _render_all(
    root: Path, layout: Layout, jobs: Sequence[Job], stand_in: StandIn, workers: int
) -> None:
    for directory in {(root / job.path).parent for job in jobs}:
        directory.mkdir(parents=True, exist_ok=True)
    chunks = [jobs[i : i + 8] for i in range(0, len(jobs), 8)]
    rows: dict[int, list[Row]] = {}
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True) as progress,
        ProcessPoolExecutor(workers) as pool,
    ):
        task = progress.add_task(f"rendering {root.name.strip('.')}", total=len(jobs))
        futures = {
            pool.submit(_render_chunk, root, layout, chunk, stand_in): i
            for i, chunk in enumerate(chunks)
        }
        for future in as_completed(futures):
            rows[futures[future]] = future.result()
            progress.advance(task, len(chunks[futures[future]]))
    with (root / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BOX_COLUMNS)
        for i in range(len(chunks)):
            writer.writerows(rows[i])


def _render_chunk(root: Path, layout: Layout, jobs: Sequence[Job], stand_in: StandIn) -> list[Row]:
    return [row for job in jobs for row in _render_video(root, layout, job, stand_in)]


def _render_video(root: Path, layout: Layout, job: Job, stand_in: StandIn) -> list[Row]:
    """Render one file; returns its boxes."""
    name = zlib.crc32(job.action.encode())
    looks = np.random.default_rng([stand_in.seed, job.who])
    moment = np.random.default_rng([stand_in.seed, job.who, job.take, name])
    scene = (CarScene if layout == "dai" else SportsScene)(job.action, looks, moment)
    frames: list[np.ndarray] = []
    rows: list[Row] = []
    for i in range(stand_in.frames):
        picture = scene.frame(i / max(1, stand_in.frames - 1))
        frames.append(np.asarray(picture.image))
        rows += [(job.path, i, label, *_rounded(box)) for label, box in picture.boxes.items()]
    write_video(root / job.path, frames, fps=stand_in.fps)
    return rows


def _rounded(box: Box) -> Box:
    x0, y0, x1, y1 = (round(value, 1) for value in box)
    return (x0, y0, x1, y1)
