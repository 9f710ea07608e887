"""evaluate.py with explain=, run as a user runs it; tests/explanations has the rest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vitprune.demo.driving import ACTIONS
from vitprune.models import build_model
from vitprune.training import Provenance, VideoClassifier

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def checkpoint(directory: Path) -> Path:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=len(ACTIONS), num_frames=4, image_size=32)
    settings = {
        "num_frames": 4, "image_size": 32, "sampling": "uniform", "stride": 4,
        "mean": [0.45] * 3, "std": [0.225] * 3,
    }  # fmt: skip
    path = directory / "untrained.ckpt"
    untrained = Provenance({}, {}, [])
    VideoClassifier(model, list(ACTIONS), settings, provenance=untrained).save(path)
    return path


@pytest.fixture
def attention(run: Run, checkpoint: Path, tmp_path: Path) -> Run:
    """``attention("head=15.1")``: where that head looks, written to ``tmp_path``."""
    given = (f"ckpt={checkpoint}", "explain=attention", f"hydra.run.dir={tmp_path}")
    return lambda *arguments: run("evaluate", *given, *arguments)


def test_a_head_is_shown_and_sent_to_wandb(attention: Run, tmp_path: Path) -> None:
    done = attention("head=[15.1,14.0]", "clip=drink_1")
    assert done.returncode == 0, done.stderr
    assert f"Results: {tmp_path}" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["head"] == ["15.1", "14.0"]
    (picture,) = results["pictures"]
    assert picture.endswith("_drink_1.mp4-15.1-14.0.png")
    assert (tmp_path / picture).exists()
    media = tmp_path.glob("wandb/offline-run-*/files/media/**/*")
    assert {".png", ".mp4"} <= {path.suffix for path in media}


def test_head_ten_is_not_head_one(attention: Run, tmp_path: Path) -> None:
    done = attention("head=15h10", "logger=none")
    assert done.returncode == 2, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "head=15h10 does not exist in mvit; layer 15 has 15.0, 15.1" in error
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results.json").exists()
