"""The commands on a GPU."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", ["timesformer", "video_swin", "mvit"])
def test_the_command_prunes_on_a_gpu(
    name: str, precision: str, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run(
        "prune", f"model={name}", "trainer=gpu", f"trainer.precision={precision}", "k=3",
        f"fine_tuned={tmp_path / 'model'}", "logger=none", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["environment"]["device"] == torch.cuda.get_device_name()
    assert len(results["dropped"]) == 3
