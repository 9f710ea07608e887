"""A sweep over budgets of which one cannot be reached, a cheaper input, and the report of both."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vitprune.report.writing import write_report

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_an_unreachable_budget_is_a_hole_and_a_cheaper_input_a_point(
    pruned: Path, run: Run, directory: Path, tmp_path: Path
) -> None:
    sweep, checkpoint = tmp_path / "front", directory / "runs/train/demo_dai/mvit/best.ckpt"
    done = run("prune", "-m", "model=mvit", "metric=magnitude", "budget.latency=0.5,0.001",
               "logger=none", f"hydra.sweep.dir={sweep}")  # fmt: skip
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "magnitude-lowest-latency0.001: budget.latency=0.001 cannot be reached: with" in line
    reached = json.loads(
        (sweep / "demo_dai/mvit/magnitude-lowest-latency0.5/results.json").read_text()
    )

    out = sweep / "inputs"
    done = run("evaluate", f"ckpt={checkpoint}", "frames=2", "logger=none", f"hydra.run.dir={out}")
    assert done.returncode == 0, done.stderr
    assert "2 frames of 32 pixels" in done.stdout
    assert "4 frames of 32 pixels" in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert results["clip_settings"]["num_frames"] == results["model"]["num_frames"] == 2
    own = results["own_input"]
    assert (own["num_frames"], own["image_size"]) == (4, 32)
    for key in ("top1", "flops", "parameters"):
        assert own[key] == pytest.approx(reached["full"][key])
    assert results["flops"] < own["flops"]
    assert own["latency_ms"] > 0
    paired = own["paired"]
    gained = (paired["wrong_to_right"] - paired["right_to_wrong"]) / paired["videos"]
    assert gained == pytest.approx(results["top1"] - own["top1"])

    done = run("evaluate", f"ckpt={checkpoint}", "frames=4", "size=32", "logger=none",
               f"hydra.run.dir={tmp_path / 'same'}")  # fmt: skip
    same = json.loads((tmp_path / "same" / "results.json").read_text())
    assert same["own_input"] is None
    assert same["top1"] == own["top1"]

    write_report(sweep)
    rows = list(csv.DictReader((sweep / "front.csv").open()))
    assert {row["way"] for row in rows} == {
        "full model", "layers by magnitude", "fewer frames"
    }  # fmt: skip
    assert "No point: demo_dai/mvit/magnitude-lowest-latency0.001" in (
        (sweep / "front.md").read_text()
    )
