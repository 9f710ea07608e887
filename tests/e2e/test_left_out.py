"""A job on data of several cameras, of which some videos cannot be read."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small_commands import SMALL

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(stand_ins: Path, tmp_path: Path) -> Path:
    """The small stand-in of DAI with two views, a broken clip in train and one in test."""
    root = tmp_path / "dai"
    shutil.copytree(stand_ins / "demo_dai", root)
    (root / "boxes.csv").unlink()
    for split in ("train", "val", "test"):
        path = root / "annotations" / f"{split}.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for i, row in enumerate(rows):
            row["view"] = ("front", "side")[i % 2]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        if split != "val":
            victims = [root / rows[0]["video"], root / "videos" / rows[0]["video"]]
            next(path for path in victims if path.is_file()).write_bytes(split.encode())
    return root


def test_what_cannot_be_read_is_left_out_and_said(root: Path, run: Run, tmp_path: Path) -> None:
    small = [word for word in SMALL if ".demo." not in word]
    words = [
        "dataset=dai", f"dataset.root={root}", "dataset.scale=tiny", "model=mvit", "k=3",
        f"fine_tuned={tmp_path / 'fine_tuned'}", "logger=none", *small,
    ]  # fmt: skip
    done = run("prune", *words, small=False)
    assert done.returncode == 2
    assert "cannot be read as a video" in done.stderr
    assert not (tmp_path / "fine_tuned" / "best.ckpt").exists()

    job = tmp_path / "job"
    done = run("prune", *words, "dataset.on_error=skip", f"hydra.run.dir={job}", small=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((job / "results.json").read_text())
    clips, lost = results["dataset"]["clips"], results["dataset"]["left_out"]
    assert list(lost) == ["test"]
    assert len(lost["test"]) == 1
    assert results["paired"]["videos"] == clips["test"]
    line = f"Left out: 1 of the {clips['test'] + 1} clips of the test split"
    assert line in done.stdout
    assert "Left out" in (job / "report.html").read_text()
    trained = json.loads((tmp_path / "fine_tuned" / "results.json").read_text())
    assert len(trained["dataset"]["left_out"]["train"]) == 1

    views = results["views"]
    assert set(views) == {"front", "side"}
    assert sum(found["videos"] for found in views.values()) == clips["test"]
    mean = sum(found["videos"] * found["full"] for found in views.values()) / clips["test"]
    assert mean == pytest.approx(results["full"]["top1"])
    with (job / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["view"] for row in rows} == {"front", "side"}

    ckpt = tmp_path / "fine_tuned" / "best.ckpt"
    words = ["dataset=dai", f"dataset.root={root}", f"ckpt={ckpt}", "dataset.view=side"]
    done = run(
        "evaluate", *words, "dataset.on_error=skip", "dataset.num_workers=0", "logger=none",
        f"hydra.run.dir={tmp_path / 'one'}", small=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "one" / "results.json").read_text())
    assert alone["dataset"]["videos"] == views["side"]["videos"]
    assert alone["top1"] == pytest.approx(views["side"]["full"])
    assert alone["views"] is None
