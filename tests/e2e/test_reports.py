"""What a sweep leaves for readers: table, report, and W&B's offline runs, read back."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wandb_file import records

from vitprune.results.settings import differences

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sweep(pruned: Path, run: Run, directory: Path) -> tuple[Path, str]:
    """A sweep of two cells, and what it printed."""
    path = directory / "mysweep"
    done = run("prune", "-m", "model=mvit", "k=3", "metric=JSD,R", "curves=true", "draws=1",
               f"hydra.sweep.dir={path}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def cells(sweep: tuple[Path, str]) -> list[Path]:
    return sorted(path.parent for path in sweep[0].rglob("results.json"))


def logged(cell: Path) -> dict[str, list[Any]]:
    """The records of a cell's offline run, by type."""
    (file,) = cell.glob("wandb/offline-run-*/*.wandb")
    found: dict[str, list[Any]] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def configured(cell: Path) -> dict[str, Any]:
    """The configuration of a cell's offline run."""
    found = logged(cell)
    updates = [item for run in found["run"] for item in run.config.update]
    updates += [item for record in found.get("config", []) for item in record.update]
    return {item.key: json.loads(item.value_json) for item in updates if item.key}


def test_answers_are_written_per_video(sweep: tuple[Path, str]) -> None:
    for cell in cells(sweep):
        results = json.loads((cell / "results.json").read_text())
        rows = list(csv.DictReader((cell / "predictions.csv").open()))
        assert list(rows[0]) == ["video", "label", "full", "pruned"]
        assert len({row["video"] for row in rows}) == results["paired"]["videos"] == 34
        for model in ("full", "pruned"):
            right = np.mean([row["label"] == row[model] for row in rows])
            assert right == pytest.approx(results[model]["top1"])


def test_results_are_the_last_of_a_cells_files(sweep: tuple[Path, str]) -> None:
    for cell in cells(sweep):
        written = (cell / "results.json").stat().st_mtime_ns
        files = [path for path in cell.iterdir() if path.is_file() and path.suffix != ".log"]
        assert max(path.stat().st_mtime_ns for path in files) == written


def test_cells_and_sweeps_say_what_they_were_started_with(sweep: tuple[Path, str]) -> None:
    path, _ = sweep
    asked = json.loads((path / "sweep.json").read_text())
    assert {"model=mvit", "k=3", "metric=JSD,R"} <= {*asked["command"]}
    assert asked["asked"] == {"model": ["mvit"], "k": ["3"], "metric": ["JSD", "R"]}
    for cell in cells(sweep):
        started = json.loads((cell / "started.json").read_text())
        results = json.loads((cell / "results.json").read_text())
        assert f"metric={results['metric']}" in started["overrides"]
        assert differences(started["settings"], results["asked"]) == []
        written = (json.dumps(x, sort_keys=True) for x in (started["settings"], results["asked"]))
        assert len({*written}) == 1  # a number, too: 0.0 is told from 0


def test_a_sweep_ends_with_table_and_report(sweep: tuple[Path, str]) -> None:
    path, said = sweep
    assert "MViT (3" in said
    assert said.rstrip().endswith(f"Report: {path / 'report.html'}")
    table = (path / "table.md").read_text()
    assert "| demo_dai |" in table.splitlines()[2]
    assert "JSD, R" in table
    report = (path / "report.html").read_text()
    assert "python prune.py -m" in report
    for section in ("curves", "relevance", "cost", "training", "run"):
        assert f'<h2 id="{section}">' in report
    assert "MViT (3 layers pruned)" in report
    assert not list(path.glob("demo_dai/**/report.html"))


def test_a_single_run_ends_with_its_report(
    sweep: tuple[Path, str], run: Run, directory: Path
) -> None:
    out = directory / "single"
    done = run("prune", "model=mvit", "k=2", "logger=none", f"hydra.run.dir={out}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"Report: {out / 'report.html'}")
    assert "MViT on demo_dai: 2 layers" in (out / "report.html").read_text()


def test_runs_of_a_sweep_share_a_group_and_carry_tags(sweep: tuple[Path, str]) -> None:
    for cell in cells(sweep):
        run = logged(cell)["run"][0]
        assert run.run_group == "mysweep"
        assert run.job_type == "prune"
        metric = cell.name.split("-")[0]
        assert set(run.tags) == {"demo_dai", "mvit", metric, "lowest"}


def test_artifacts_name_what_comes_from_what(sweep: tuple[Path, str], directory: Path) -> None:
    (train,) = directory.glob("runs/train/demo_dai/mvit")
    (made,) = logged(train)["artifact"]
    assert made.type == "model"
    of_the_training = json.loads(made.metadata)["inputs"]
    assert [text.split("@")[0] for text in of_the_training] == ["demo_dai"]
    taken = [*of_the_training, f"{made.name}@{made.digest}"]
    for cell in cells(sweep):
        found = {a.type: a for a in logged(cell)["artifact"] if a.type != "run_table"}
        inputs = json.loads(found["pruned-model"].metadata)["inputs"]
        assert inputs[:2] == taken
        # One of the cells may have measured the scores; another found them in the store.
        assert ("scores" in found) != (len(inputs) == 3)
        assert configured(cell)["inputs"] == inputs


def test_figures_tables_and_charts_are_logged(sweep: tuple[Path, str]) -> None:
    for cell in cells(sweep):
        found = logged(cell)
        results = json.loads((cell / "results.json").read_text())
        summary = {
            item.key: json.loads(item.value_json)
            for record in found["summary"]
            for item in record.update
            if item.key
        }
        assert summary["pruned"]["top1"] == results["pruned"]["top1"]
        assert summary["dropped"] == results["dropped"]
        keys = {
            item.key or ".".join(item.nested_key)
            for record in found["history"]
            for item in record.item
        }
        for key in ("relevance/R", "relevance/unit", "curves/oneshot/R", "curves/k",
                    "relevance/chart._type", "curves/chart._type", "curves/figures._type",
                    "predictions._type", "relevance/units._type"):  # fmt: skip
            assert key in keys
        steps = {m.name: m.step_metric for m in found["metric"]}
        assert steps["relevance/JSD"] == "relevance/unit"
        assert steps["curves/oneshot/random"] == "curves/k"
