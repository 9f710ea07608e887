"""The commands on a very small stand-in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all commands of the session keep their data and runs."""
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def run(directory: Path) -> Run:
    """Runs a command as a user would: ``run("prune", "metric=R")``."""

    def run(task: str, *arguments: str, small: bool = True) -> subprocess.CompletedProcess[str]:
        keep = [a for a in SMALL if small and not (task == "evaluate" and a.startswith("model."))]
        flags = [a for a in arguments if a.startswith("-")]
        values = [f"runs={directory / 'runs'}", *(a for a in arguments if a not in flags)]
        return subprocess.run(
            [sys.executable, f"{task}.py", *flags, *keep, *values],
            cwd=ROOT,
            env={**os.environ, "VITPRUNE_DATA": str(directory / "data"), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
