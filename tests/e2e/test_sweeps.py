"""Sweeps that are killed, fail in part, run out of disk, or run in several processes at once."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vitprune.importance import Scores

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


def finished(sweep: Path) -> list[str]:
    """The names of the cells that have results."""
    return sorted(path.parent.name for path in sweep.glob("**/results.json"))


def test_a_sweep_goes_on_after_being_killed_at_any_moment(
    run: Run, start: Start, directory: Path
) -> None:
    def arguments(runs: Path) -> list[str]:
        return ["-m", "model=timesformer", "metric=R,JSD", "model.tiny.epochs=3", "logger=none",
                f"runs={runs}", f"hydra.sweep.dir={runs / 'sweep'}"]  # fmt: skip

    killed = directory / "killed"
    trained = killed / "train" / "demo_dai" / "timesformer"
    moments = {
        "fine-tuning": lambda: (trained / "partial" / "last.ckpt").is_file(),
        "scoring": lambda: any(killed.glob("cache/importance/*.lock")),
        "between cells": lambda: len(finished(killed / "sweep")) == 1,
    }
    for moment, reached in moments.items():
        process = start("prune", *arguments(killed), log=directory / f"{moment}.log")
        while not reached():
            assert process.poll() is None, (directory / f"{moment}.log").read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert (trained / "best.ckpt").exists() == (moment != "fine-tuning")
        assert len(finished(killed / "sweep")) == (moment == "between cells")

    done = run("prune", *arguments(killed))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished already") == 1
    assert "Going on with the unfinished fine-tuning" in (directory / "scoring.log").read_text()

    whole = directory / "whole"
    assert run("prune", *arguments(whole)).returncode == 0
    for name in (trained.relative_to(killed) / "metrics.csv", *(
        path.relative_to(killed) for path in killed.glob("sweep/**/scores.csv")
    )):  # fmt: skip
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert [row["epoch"] for row in rows if row["val/top1"]] == ["0", "1", "2"]
    assert finished(killed / "sweep") == ["JSD-lowest-k3", "R-lowest-k3"]
    assert not (trained / "partial").exists()


def test_a_failed_cell_is_named_and_leaves_the_others_alone(
    pruned: Path, run: Run, directory: Path
) -> None:
    sweep = directory / "failing"
    arguments = ["-m", "model=mvit", "metric=R", "logger=none", f"hydra.sweep.dir={sweep}"]
    done = run("prune", *arguments, "k=99,2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = "k=99 is out of range; the model has 16 layers: 1 to 15"
    assert done.stderr.splitlines()[-1] == f"  demo_dai/mvit/R-lowest-k99: {line}"
    assert finished(sweep) == ["R-lowest-k2"]
    failure = json.loads((sweep / "demo_dai/mvit/R-lowest-k99/failure.json").read_text())
    assert failure["error"] == line
    assert "k=99" in failure["overrides"]

    # The same cells again in the same place, but of another target.
    again = run("prune", *arguments, "k=2", "target=label")
    assert again.returncode == 0, again.stderr
    assert "holds a cell of another target" in again.stdout


def test_a_value_that_an_experiment_sweeps_over_is_refused_at_once(
    run: Run, directory: Path
) -> None:
    sweep = directory / "refused"
    done = run("prune", "experiment=table1_demo", f"hydra.sweep.dir={sweep}",
               "hydra.sweeper.params.metric='R,KL'")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: metric=KL is unknown; metric takes JSD, dProb, R")
    assert not sweep.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("needs mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_ends_a_cell_with_one_line(
    pruned: Path, small_disk: Path, run: Run, directory: Path
) -> None:
    done = run("prune", "-m", "model=mvit", "k=3", "metric=R,JSD", "logger=none",
               f"hydra.sweep.dir={small_disk}")  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    line = done.stderr.splitlines()[-1]
    assert line.startswith("  demo_dai/mvit/JSD-lowest-k3: no space left on the disk for ")
    assert line.endswith("pruned.ckpt; free some and run the same command again")
    assert finished(small_disk) == ["R-lowest-k3"]
    whole = small_disk / "demo_dai/mvit/R-lowest-k3"
    evaluated = run("evaluate", f"ckpt={whole / 'pruned.ckpt'}", "logger=none",
                    f"hydra.run.dir={directory / 'of-full-disk'}")  # fmt: skip
    assert evaluated.returncode == 0, evaluated.stderr


@pytest.mark.parametrize("launcher", ["joblib", "submitit", "ray"])
def test_launchers_fine_tune_and_score_once(
    launcher: str, run: Run, run_alone: Run, directory: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    runs = directory / launcher
    # Joblib's workers wait for more as long as their process is there, or for five minutes.
    launch = run if launcher == "submitit" else run_alone
    done = launch("prune", "-m", f"hydra/launcher={launcher}", "model=timesformer", "k=99,3,2",
               "dataset.num_workers=1",
               "logger=none", f"runs={runs}", f"hydra.sweep.dir={runs / 'sweep'}")  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "R-lowest-k99: k=99 is out of range" in done.stderr
    assert finished(runs / "sweep") == ["R-lowest-k2", "R-lowest-k3"]
    assert len(list(runs.glob("cache/importance/*.npz"))) == 1
    logs = [path.read_text() for path in runs.glob("sweep/demo_dai/**/prune.log")]
    assert sum("Fine-tuned: " in text for text in logs) == 1
    assert sum("scores taken from the store" in text for text in logs) == 1


def test_two_processes_share_every_job_of_a_sweep(run: Run, directory: Path) -> None:
    runs = directory / "ddp"
    done = run("prune", "-m", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2",
               "trainer.precision=32-true", "model=timesformer", "k=3,2", "logger=none",
               f"runs={runs}", f"hydra.sweep.dir={runs / 'sweep'}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert finished(runs / "sweep") == ["R-lowest-k2", "R-lowest-k3"]
    assert done.stdout.count("Starting with 2 processes") == 2

    alone = runs / "alone"
    done = run("prune", "trainer=cpu", "model=timesformer", "k=3", "logger=none", f"runs={runs}",
               "cache=false", f"hydra.run.dir={alone}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    of_two = Scores.load(next(runs.glob("sweep/demo_dai/*/R-lowest-k3")) / "scores.npz")
    of_one = Scores.load(alone / "scores.npz")
    assert of_two.clips.tolist() == of_one.clips.tolist()
    for name, values in of_one.values.items():
        np.testing.assert_allclose(of_two.values[name], values, atol=1e-6)


def test_two_processes_count_every_video_once(run: Run, directory: Path) -> None:
    """Seventeen videos for two processes: one is handed out twice."""
    runs = directory / "odd"
    data = ["dataset.demo.videos_per_class={train: 1, val: 1, test: 1}",
            f"dataset.root={runs / 'data'}", "logger=none", f"runs={runs}"]  # fmt: skip
    pair = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2",
            "trainer.precision=32-true"]  # fmt: skip
    done = run("train", "model=timesformer", *data, *pair)
    assert done.returncode == 0, done.stderr
    trained = runs / "train/demo_dai/timesformer"
    right = 17 * json.loads((trained / "results.json").read_text())["val_top1"]
    assert right == pytest.approx(round(right), abs=1e-5)
    found = []
    for name, trainer in (("two", pair), ("one", ["trainer=cpu"])):
        out = runs / name
        done = run("evaluate", f"ckpt={trained / 'best.ckpt'}", *data, *trainer,
                   f"hydra.run.dir={out}")  # fmt: skip
        assert done.returncode == 0, done.stderr
        results = json.loads((out / "results.json").read_text())
        found.append((results["dataset"]["videos"], results["top1"], results["top5"]))
    assert found[0] == found[1]
    assert found[0][0] == 17


def test_a_search_for_k_sees_the_objective(run: Run, directory: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    done = run("prune", "experiment=search_k", "model=timesformer", "logger=none",
               f"runs={directory / 'search'}", "hydra.sweeper.n_trials=2",
               "objective.least=0", "objective.keep=0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    sweep = directory / "search" / "sweep" / "search_k"
    results = [json.loads(path.read_text()) for path in sweep.glob("**/results.json")]
    assert {result["val"]["videos"] for result in results} == {17}
    best = (sweep / "optimization_results.yaml").read_text()
    assert f"best_value: {max(float(result['k']) for result in results)}" in best
