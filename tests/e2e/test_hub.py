"""prune.py on a model of the hub, from a directory."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from documented import fenced
from hub_models import original, saved
from small_commands import ROOT

from vitprune.demo.driving import ACTIONS
from vitprune.training import VideoClassifier

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_directory_is_fine_tuned_scored_and_pruned(run: Run, tmp_path: Path) -> None:
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
    left = min({*"0123"} - set(results["dropped"]))
    found = run(
        "evaluate", f"ckpt={out / 'pruned.ckpt'}", "explain=attention", f"head={left}h1", "clips=1",
        "logger=none", f"hydra.run.dir={tmp_path / 'heads'}",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


def test_what_cannot_be_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    for arguments, line in (
        (("scale=full",), "model=hub needs weights at full scale: model.weights=DIRECTORY"),
        (("model.weights=none.ckpt",), "is no directory and no id of the hub"),
        ((f"model.weights={tmp_path}",), "holds no config.json"),
        (
            ("model.architecture=bert",),
            "architecture=bert is out of range; it takes timesformer, videomae",
        ),
    ):
        done = run("prune", "model=hub", *arguments)
        assert done.returncode == 2, done.stderr
        assert line in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_model_that_is_fine_tuned_already(run: Run, tmp_path: Path) -> None:
    """As docs/commands.md says it; its classes are the dataset's in another order."""
    classes = tuple(ACTIONS)[::-1]  # any order
    theirs = original("videomae", id2label=dict(enumerate(classes)), label2id={})
    weights = saved(theirs, tmp_path / "weights")
    (snippet,) = fenced(ROOT / "docs/commands.md", "python")
    scope: dict[str, Any] = {}
    exec(snippet, scope)
    path = tmp_path / "own.ckpt"
    scope["checkpoint_of"](str(weights), path)
    arguments = (f"ckpt={path}", "logger=none", f"hydra.run.dir={tmp_path / 'out'}")
    done = run("evaluate", *arguments)
    assert done.returncode == 2
    assert "does not say which clips it was trained on" in done.stderr
    done = run("evaluate", *arguments, "allow_leakage=true")
    assert done.returncode == 0, done.stderr
