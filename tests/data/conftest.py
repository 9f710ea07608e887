"""A very small rendering of both stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_videos import SMALL

from vitprune.data import DAIDataModule, UCF101DataModule
from vitprune.data.demo import render


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
