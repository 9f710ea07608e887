"""export= and runtime=, run as a user runs them.

Where runtimes have a part, each command has a process of its own: they leave threads behind, which
the tests' process is not to collect.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_commands import ROOT, environment
from test_jobs import assert_refused
from wandb_file import records

from vitprune.deploy import Bundle
from vitprune.files import file_digest
from vitprune.models.unit import read_units

for package in ("onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def few(pruned: Path, run: Run, directory: Path) -> Path:
    """The directory of a job that leaves four layers, so that there is little to export."""
    out = directory / "few"
    done = run("prune", "model=mvit", "k=12", "logger=none", f"hydra.run.dir={out}")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def exported(few: Path, run_alone: Run, directory: Path) -> Path:
    """The directory of a job of prune.py that exports what is left."""
    out = directory / "exported"
    done = run_alone("prune", f"ckpt={few / 'pruned.ckpt'}", "k=2",
               "recover=linear", "recover.clips=20",
               "export=[onnx,openvino]", "deploy.precision=[float16,int8]", "deploy.calibration=4",
               "deploy.max_loss=100", "deploy.dims=4", "deploy.seconds=0",
               f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Bundle {out / 'bundle'}" in done.stdout
    assert "Against" in done.stdout
    return out


def verified(bundle: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """What a bundle's own check says."""
    return subprocess.run(
        [sys.executable, "-m", "vitprune.deploy.verify", str(bundle)],
        cwd=ROOT, env=environment(directory), capture_output=True, text=True, check=False,
    )  # fmt: skip


def results_of(out: Path) -> Any:
    return json.loads((out / "results.json").read_text())


def test_prune_exports_what_it_ends_with(few: Path, exported: Path) -> None:
    results, bundle = results_of(exported), Bundle.load(exported / "bundle")
    known = bundle.description.provenance
    assert known["ckpt"] == str(exported / "recovered.ckpt")
    assert known["ckpt_digest"] == file_digest(exported / "recovered.ckpt")
    assert known["top1"] == results["recovered"]["top1"]
    assert known["top1_interval"][0] <= known["top1"] <= known["top1_interval"][1]
    assert known["dataset"] == "demo_dai"
    gone = [*results_of(few)["dropped"], *results["dropped"]]
    assert read_units(bundle.description.model["dropped"]) == sorted(read_units(gone))
    assert bundle.classes == results["dataset"]["classes"]
    assert results["exported"]["measured"] == bundle.description.measured
    names = ["onnx", "openvino", "openvino float16", "onnx int8", "openvino int8"]
    assert results["exported"]["models"] == names
    for name in ("onnx int8", "openvino int8"):
        assert results["exported"]["quantised"][name]["float_layers"] == []
    sizes = [(exported / "bundle" / f"model{name}.bin").stat().st_size
             for name in ("-int8", "-float16", "")]  # fmt: skip
    assert sizes == sorted(sizes)
    (video,) = list(Path(results["settings"]["dataset"]["root"]).rglob("*.mp4"))[:1]
    assert sum(bundle.classify(video).values()) == pytest.approx(1)


def test_the_table_has_every_model_in_every_runtime(exported: Path) -> None:
    results = results_of(exported)
    rows = {(row["model"], row["runtime"], row["precision"]): row
            for row in results["exported"]["measured"]}  # fmt: skip
    kinds = [("eager", "float32"), ("onnx", "float32"), ("openvino", "float32"),
             ("openvino", "float16"), ("onnx", "int8"), ("openvino", "int8")]  # fmt: skip
    assert list(rows) == [(m, *kind) for m in ("full", "pruned", "recovered") for kind in kinds]
    for (model, runtime, precision), row in rows.items():
        assert row["videos"] == row.get("paired", row)["videos"] == 34
        if precision == "float32":
            assert row["top1"] == results[model]["top1"]
            assert row["deviation"] < 1e-3
            assert (row["deviation"] > 0) == (runtime != "eager")
        if model != "full":
            assert row["of_full"]["flops"] == results[model]["flops"] / results["full"]["flops"]
    assert rows["recovered", "openvino", "int8"]["deviation"] > 1e-3
    page = (exported / "report.html").read_text()
    assert "openvino int8" in page
    assert "onnx int8: no layer in float" in page
    assert "McNemar&#39;s exact p" in page
    assert not [path.name for path in exported.iterdir() if path.name.startswith(".b")]


def test_the_table_goes_to_wandb(exported: Path) -> None:
    (file,) = exported.glob("wandb/offline-run-*/*.wandb")
    told = {
        ".".join([item.key, *item.nested_key]).lstrip("."): json.loads(item.value_json)
        for record in records(file)
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    (table,) = exported.glob("wandb/offline-run-*/files/media/table/exported/models_*.json")
    found = json.loads(table.read_text())
    measured = results_of(exported)["exported"]["measured"]
    column = found["columns"].index("peak_bytes")
    assert [row[column] for row in found["data"]] == [row["peak_bytes"] for row in measured]
    assert told["exported"]["recovered"]["openvino_int8"]["top1"] == measured[-1]["top1"]


def test_a_reduced_precision_is_evaluated_as_such(
    exported: Path, run_alone: Run, directory: Path
) -> None:
    out = directory / "evaluate-int8"
    done = run_alone("evaluate", f"ckpt={exported / 'bundle'}", "runtime=openvino",
                     "precision=int8", "logger=none", f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results, rows = results_of(out), results_of(exported)["exported"]["measured"]
    assert results["runtime"]["precision"] == "int8"
    assert results["top1"] == rows[-1]["top1"]
    done = verified(exported / "bundle", directory)
    assert done.returncode == 0, done.stderr
    assert "openvino int8: largest deviation" in done.stdout


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_bundle_is_evaluated_beside_its_checkpoint(
    runtime: str, exported: Path, run_alone: Run, directory: Path
) -> None:
    out = directory / f"evaluate-{runtime}"
    done = run_alone("evaluate", f"ckpt={exported / 'bundle'}", f"runtime={runtime}", "logger=none",
               f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Top-1 of the checkpoint" in done.stdout
    results, pruned = results_of(out), results_of(exported)
    assert results["top1"] == pruned["recovered"]["top1"]
    assert results["flops"] == pruned["recovered"]["flops"]
    assert results["parameters"] == pruned["recovered"]["parameters"]
    found = results["runtime"]
    assert (found["runtime"], found["precision"]) == (runtime, "float32")
    assert found["torch"]["top1"] == results["top1"]
    assert found["paired"]["right_to_wrong"] == found["paired"]["wrong_to_right"] == 0
    assert found["deviation"] < 1e-5


def test_a_bundle_alone_is_evaluated_too(exported: Path, run_alone: Run, directory: Path) -> None:
    alone, out = directory / "alone", directory / "evaluate-alone"
    (exported / "bundle").rename(alone)
    checkpoint = (exported / "recovered.ckpt").rename(directory / "away.ckpt")
    try:
        done = run_alone("evaluate", f"ckpt={alone}", "logger=none", f"hydra.run.dir={out}")
        assert done.returncode == 0, done.stderr
        assert results_of(out)["runtime"] == {"runtime": "onnx", "precision": "float32"}
        assert results_of(out)["top1"] == results_of(exported)["recovered"]["top1"]
    finally:
        alone.rename(exported / "bundle")
        checkpoint.rename(exported / "recovered.ckpt")


def test_evaluate_exports_any_checkpoint(exported: Path, run: Run, directory: Path) -> None:
    out = directory / "evaluate-export"
    done = run("evaluate", f"ckpt={exported / 'pruned.ckpt'}", "export=[torch]", "deploy.clips=2",
               "deploy.videos=3", "deploy.seconds=0",
               "logger=none", f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (out / "bundle").glob("model*")] == ["model.pt2"]
    done = verified(out / "bundle", directory)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch: largest deviation")
    rows = results_of(out)["exported"]["measured"]
    assert [(row["model"], row["runtime"], row["videos"]) for row in rows] == [
        ("pruned", "eager", 3), ("pruned", "torch", 3),
    ]  # fmt: skip


def test_what_cannot_be_exported_leaves_the_results(
    exported: Path, run_alone: Run, directory: Path
) -> None:
    out = directory / "evaluate-refused"
    done = run_alone("evaluate", f"ckpt={exported / 'pruned.ckpt'}", "export=[onnx]",
                     "deploy.opset=99", "logger=none", f"hydra.run.dir={out}")  # fmt: skip
    assert_refused(done, "deploy.opset=99 cannot be written by this torch; take 18")
    assert_refused(done, f"(the job's results are in {out})")
    assert results_of(out)["top1"] >= 0
    assert not (out / "bundle").exists()


def test_a_cell_without_its_bundle_is_run_anew(exported: Path, run: Run) -> None:
    words = ("prune", "-m", "model=mvit", "k=14", "logger=none",
             f"hydra.sweep.dir={exported / 'sweep'}")  # fmt: skip
    assert run(*words).returncode == 0
    (results,) = (exported / "sweep").rglob("results.json")
    assert "Finished already" in run(*words).stdout
    before = results.read_bytes()
    (left,) = [path for path in results.parent.iterdir() if path.name == "bundle"] or [None]
    assert left is None
    words = (*words, "deploy.compare=false", "deploy.videos=1", "deploy.seconds=0")
    again = run(*words, "export=[torch]")
    assert again.returncode == 0, again.stderr
    assert (results.parent / "bundle" / "model.pt2").is_file()
    assert results.read_bytes() != before
    assert "Finished already" in run(*words, "export=[torch]").stdout
