"""prune.py on a model of the hub, from a directory."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from hub_models import original, saved

from vitprune.training import VideoClassifier

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_directory_is_fine_tuned_scored_and_pruned(
    run: Run, directory: Path, tmp_path: Path
) -> None:
    weights = saved(original("vivit", num_hidden_layers=4), tmp_path / "weights")
    arguments = ("model=hub", f"model.weights={weights}", "k=2", "logger=none")
    out = tmp_path / "out"
    done = run("prune", *arguments, f"hydra.run.dir={out}")
    assert done.returncode == 0, done.stderr
    assert "fine-tuning vivit first" in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert len(results["dropped"]) == 2
    assert results["model"]["title"] == "ViViT"
    assert results["clip_settings"]["mean"] == [0.5, 0.4, 0.3]
    assert results["clip_settings"]["image_size"] == 32
    assert results["clip_settings"]["num_frames"] == 4
    weights.rename(tmp_path / "elsewhere")
    assert len(VideoClassifier.load(out / "pruned.ckpt").model.blocks) == 2
    found = run(
        "evaluate", f"ckpt={out / 'pruned.ckpt'}", "explain=attention", "head=0.1", "clips=1",
        "logger=none", f"hydra.run.dir={tmp_path / 'heads'}",
    )  # fmt: skip
    if results["dropped"] != [0] and 0 not in results["dropped"]:
        assert found.returncode == 0, found.stderr


def test_what_cannot_be_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    for arguments, line in (
        (("scale=full",), "model=hub needs weights at full scale: model.weights=DIRECTORY"),
        (("model.weights=none.ckpt",), "is no directory and no id of the hub"),
        ((f"model.weights={tmp_path}",), "holds no config.json"),
        (("model.architecture=bert",), "model.architecture=bert is unknown; model.architecture t"),
    ):
        done = run("prune", "model=hub", *arguments)
        assert done.returncode == 2, done.stderr
        assert line in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
