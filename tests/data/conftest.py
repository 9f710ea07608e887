"""A very small rendering of both stand-ins, and real videos that are made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vitprune.data import DAIDataModule, UCF101DataModule
from vitprune.data.demo import DemoSettings, render
from vitprune.data.video import write_video

SMALL = DemoSettings({"train": 4, "val": 2, "test": 2}, frames=10)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with ``demo_dai`` and ``demo_ucf101``."""
    root = tmp_path_factory.mktemp("stand-ins")
    render("dai", root / "demo_dai", SMALL)
    render("ucf101", root / "demo_ucf101", SMALL)
    return root


@pytest.fixture(scope="session")
def dai_module(stand_ins: Path) -> Callable[..., DAIDataModule]:
    """Makes a DataModule over the small stand-in of DAI, set up."""

    def make(**options: Any) -> DAIDataModule:
        options = {"num_frames": 4, "image_size": 32, "batch_size": 5, "num_workers": 0, **options}
        module = DAIDataModule(**{"root": stand_ins / "demo_dai", **options})
        module.prepare_data()
        module.setup()
        return module

    return make


@pytest.fixture(scope="session")
def ucf101_module(stand_ins: Path) -> Callable[..., UCF101DataModule]:
    """Makes a DataModule over the small stand-in of UCF101, set up."""

    def make(**options: Any) -> UCF101DataModule:
        options = {"num_frames": 4, "image_size": 32, "batch_size": 5, "num_workers": 0, **options}
        module = UCF101DataModule(**{"root": stand_ins / "demo_ucf101", **options})
        module.prepare_data()
        module.setup()
        return module

    return make


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real footage, which lies beside the repository."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "clips").is_dir():
            return parent / "shared" / "clips"
    pytest.skip("no shared/clips beside the repository")


def make_video(path: Path, frames: int = 6, *, size: tuple[int, int] = (48, 64)) -> Path:
    """A video file of ``size`` (H, W) that gets brighter from frame to frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = [
        np.full((*size, 3), 20 + 200 * i // max(1, frames - 1), np.uint8) for i in range(frames)
    ]
    write_video(path, levels, fps=10)
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every frame, as PyAV itself decodes the file: uint8 [T, H, W, 3]."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
