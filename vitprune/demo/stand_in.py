"""A stand-in: what it is rendered from, and that it is rendered once.

It is rendered into a directory beside its own, which is renamed when it is complete. Jobs that
start together wait for the first of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitprune.demo.layouts import LAYOUTS, SPLITS, Layout, plan_of
from vitprune.demo.videos import render_videos
from vitprune.errors import InputError
from vitprune.files import Lock

VERSION = 10
"""To be raised whenever the same seed renders to something else."""
STAMP = "stand-in.json"


@dataclass(frozen=True)
class StandIn:
    """A data set that is drawn and encoded to real video files, in the layout of a real one.

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
    frames: int = 16
    fps: int = 8
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
        with Lock(root.parent / f".{root.name}.lock"):
            if _read_stamp(root) == stamp:
                return False
            if root.exists() and _read_stamp(root) is None and any(root.iterdir()):
                raise InputError(
                    f"{root} holds files that are no stand-in; empty it, or set dataset.root to "
                    "where the stand-in may be rendered"
                )
            partial = root.parent / f".{root.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            self._render(partial, workers)
            (partial / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
            shutil.rmtree(root, ignore_errors=True)
            partial.rename(root)
        return True

    def _render(self, root: Path, workers: int) -> None:
        plan = plan_of(self.layout, self.videos_per_class)
        for name, text in plan.texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, newline="\n")
        render_videos(
            root, plan.scene, plan.jobs, frames=self.frames, fps=self.fps, seed=self.seed,
            workers=workers,
        )  # fmt: skip

    def _stamp(self) -> dict[str, Any]:
        facts = {"version": VERSION, **asdict(self)}
        text = json.dumps(facts, sort_keys=True)
        return {**facts, "hash": hashlib.sha256(text.encode()).hexdigest()}


def _read_stamp(root: Path) -> dict[str, Any] | None:
    try:
        return json.loads((root / STAMP).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
