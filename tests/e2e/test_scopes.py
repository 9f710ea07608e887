"""prune.py with units of every scope, and what can be done with its checkpoints."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitprune.importance import Scores, units_of
from vitprune.models.unit import read_units
from vitprune.training import VideoClassifier

Run = Callable[..., subprocess.CompletedProcess[str]]
CALLED = {
    "attention": ("3 attention branches", "attention branches"),
    "mlp": ("3 MLPs", "MLPs"),
    "head": ("3 heads", "heads"),
    "neurons": ("3 groups of neurons", "groups of neurons"),
}


def results_of(path: Path) -> dict[str, Any]:
    return json.loads((path / "results.json").read_text())


def finished(run: Run, task: str, out: Path, *arguments: str) -> str:
    done = run(task, *arguments, "logger=none", f"hydra.run.dir={out}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scope", CALLED)
def test_the_lowest_units_are_dropped(
    scope: str, pruned: Path, run: Run, directory: Path, tmp_path: Path
) -> None:
    out, full = directory / scope, directory / "runs/train/demo_dai/mvit/best.ckpt"
    said = finished(run, "prune", out, "model=mvit", "k=3", f"scope={scope}", "neuron_groups=4")
    counted, called = CALLED[scope]
    results = results_of(out)
    assert f"{counted} with the" in " ".join(said.split())
    assert f"Dropped {called}: {', '.join(results['dropped'])}" in said
    rows = list(csv.DictReader((out / "scores.csv").open()))
    lowest = sorted(range(len(rows)), key=lambda i: float(rows[i]["R"]))[:3]
    assert results["dropped"] == [rows[i]["unit"] for i in lowest]
    units = read_units(results["dropped"])
    assert {unit.scope for unit in units} == {scope}
    assert Scores.load(out / "scores.npz").units == read_units([row["unit"] for row in rows])
    for key in ("parameters", "flops", "checkpoint_bytes"):
        assert 0 < results["pruned"][key] < results["full"][key]
    page = (out / "report.html").read_text()
    assert counted in page
    assert f"Relevance of the {called}" in page

    smaller = VideoClassifier.load(out / "pruned.ckpt").model
    assert smaller.dropped == tuple(sorted(units))
    assert smaller.neuron_groups == 4
    finished(run, "evaluate", tmp_path / "evaluated", f"ckpt={out / 'pruned.ckpt'}")
    evaluated = results_of(tmp_path / "evaluated")
    assert evaluated["model"]["dropped"] == [*map(str, sorted(units))]
    for key in ("top1", "flops", "parameters"):
        assert evaluated[key] == pytest.approx(results["pruned"][key])
    assert full.is_file()


def test_units_of_all_kinds_go_by_what_they_save_and_are_searched(
    pruned: Path, run: Run, directory: Path, tmp_path: Path
) -> None:
    asked, oneshot, out = ["model=mvit", "scope=any"], tmp_path / "oneshot", tmp_path / "search"
    finished(run, "prune", oneshot, *asked, "budget.latency=0.8")
    (kept,) = (directory / "runs/cache/latency").glob("mvit-latency-*.json")
    assert read_units(json.loads(kept.read_text())) == Scores.load(oneshot / "scores.npz").units

    said = finished(
        run, "prune", out, *asked, "budget.flops=0.75", "budget.parameters=0.8", "strategy=search",
        "search.candidates=3", "search.rounds=2", "max_class_loss=100",
    )  # fmt: skip
    begun, results = results_of(oneshot), results_of(out)
    for one in (begun, results):
        units = read_units(one["dropped"])
        assert all({*units}.isdisjoint(unit.within) for unit in units)
        for name, limit in one["budget"]["limits"].items():
            assert one["budget"]["spent"][name] <= limit
    for name, limit in (("flops", 0.75), ("parameters", 0.8)):
        assert results["pruned"][name] / results["full"][name] <= limit
    assert len({unit.scope for unit in read_units(results["dropped"])}) > 1
    found = results["search"]
    assert 1 < found["evaluated"] <= 1 + 3 * 2
    assert "search" not in begun
    assert f"Search: {found['evaluated']} sets of units, divergence" in said
    assert "Relevance of the units" in (out / "report.html").read_text()
    dropped = VideoClassifier.load(out / "pruned.ckpt").model.dropped
    assert [*map(str, dropped)] == results["dropped"]


def test_of_units_of_all_kinds_k_go(pruned: Path, run: Run, tmp_path: Path) -> None:
    asked = ["model=mvit", "scope=any", "k=4"]
    dropped = []
    for name, how in (
        ("lowest", ["strategy=greedy", "step=2"]),
        ("random", ["metric=random", "direction=highest"]),
    ):
        finished(run, "prune", tmp_path / name, *asked, *how)
        dropped.append(results_of(tmp_path / name)["dropped"])
        assert len(dropped[-1]) == 4
    assert dropped[0] != dropped[1]


def test_a_pruned_checkpoint_is_pruned_again_explained_and_trained(
    pruned: Path, run: Run, directory: Path, tmp_path: Path
) -> None:
    heads, again = tmp_path / "heads", tmp_path / "again"
    finished(run, "prune", heads, "model=mvit", "k=5", "scope=head", "metric=magnitude")
    once = f"ckpt={heads / 'pruned.ckpt'}"
    finished(
        run, "prune", again, once, "model=mvit", "k=2", "scope=head", "strategy=progressive",
        "step=1", "recover=linear", "recover.bridge=full",
    )  # fmt: skip
    recovery = results_of(again)["recovery"]
    assert recovery["bridges"] == {}
    assert recovery["projections"]
    assert results_of(again)["recovered"]["parameters"] == results_of(again)["pruned"]["parameters"]
    first, then = (read_units(results_of(out)["dropped"]) for out in (heads, again))
    assert set(first).isdisjoint(then)
    for name in ("pruned", "recovered"):
        model = VideoClassifier.load(again / f"{name}.ckpt").model
        assert model.dropped == tuple(sorted([*first, *then]))
    left = units_of(model, "head")[-1]
    finished(
        run, "evaluate", tmp_path / "explained", f"ckpt={again / 'recovered.ckpt'}",
        "explain=attention", f"head={left.layer}h{left.number}", "clips=1",
    )  # fmt: skip
    done = run("prune", once, "model=mvit", "k=64", "scope=head", "logger=none")
    assert "the model has " in done.stderr
    assert "heads: 1 to" in done.stderr


def test_curves_over_the_branches_that_are_left(pruned: Path, run: Run, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "curves"
    asked = ["model=mvit", "scope=mlp"]
    finished(run, "prune", few, *asked, "k=11", "metric=magnitude")
    once = f"ckpt={few / 'pruned.ckpt'}"
    finished(run, "prune", out, once, *asked, "k=2", "curves=true", "draws=1")
    left = {f"{layer}.mlp" for layer in range(16)} - {*results_of(few)["dropped"]}
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert {row["unit"] for row in rows} == {"", *left}
    assert "Top-1 over dropped MLPs: MViT on demo_dai" in (out / "report.html").read_text()
