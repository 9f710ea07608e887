"""What makes a command small enough for a test, and where it runs."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = (
    "dataset.demo.videos_per_class={train: 2, val: 1, test: 2}",
    "dataset.demo.frames=8",
    "dataset.num_workers=0",
    "dataset.batch_size=4",
    "model.tiny.epochs=1",
    "model.tiny.validate_every=1",
    "model.tiny.num_frames=4",
    "model.tiny.image_size=32",
)
"""Overrides that make everything as small as it can be."""


def command(directory: Path, task: str, arguments: tuple[str, ...], small: bool) -> list[str]:
    keep = [a for a in SMALL if small and not (task == "evaluate" and a.startswith("model."))]
    flags = [a for a in arguments if a.startswith("-")]
    values = [f"runs={directory / 'runs'}", *(a for a in arguments if a not in flags)]
    return [f"{task}.py", *flags, *keep, *values]


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "VITPRUNE_DATA": str(directory / "data"), "COLUMNS": "120"}
