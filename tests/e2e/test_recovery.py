"""prune.py with recovery, and what goes on from what it leaves behind."""

import csv
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_jobs import assert_refused

from vitprune.files import file_digest
from vitprune.models.bridge import bridges
from vitprune.models.unit import read_units
from vitprune.results.statistics import mcnemar
from vitprune.training import VideoClassifier

Run = Callable[..., subprocess.CompletedProcess[str]]
WAYS = {
    "linear": ["recover=linear", "recover.clips=20"],
    "distill": ["recover=distill"],
    "scratch": ["recover=finetune", "recover.begin=scratch"],
    "progressive": [
        "strategy=progressive", "step=1", "recover=linear", "recover.clips=20",
        "recover.bridge=full",
    ],
}  # fmt: skip


def recover(way: str, run: Run, directory: Path) -> Path:
    """The directory of a job, which is run once."""
    out = directory / f"recovered-{way}"
    if not (out / "results.json").is_file():
        done = run("prune", "model=mvit", "k=3", *WAYS[way], "logger=none",
                   f"hydra.run.dir={out}")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ", recovered by" in done.stdout
        assert "clips: from the pruned model" in done.stdout
    return out


def results_of(out: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


@pytest.mark.parametrize("way", WAYS)
def test_all_three_models_answer_the_same_clips(
    way: str, pruned: Path, run: Run, directory: Path
) -> None:
    out = recover(way, run, directory)
    results = results_of(out)
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    right = {
        name: [row[name] == row["label"] for row in rows]
        for name in ("full", "pruned", "recovered")
    }
    for name, hits in right.items():
        assert results[name]["top1"] == pytest.approx(sum(hits) / len(rows))
        assert results[name]["latency_ms"] > 0
    paired = {"full": results["recovery"]["paired"]["full"],
              "pruned": results["recovery"]["paired"]["pruned"]}  # fmt: skip
    for name, told in paired.items():
        pairs = list(zip(right[name], right["recovered"], strict=True))
        lost, won = pairs.count((True, False)), pairs.count((False, True))
        assert told == {"videos": len(rows), "right_to_wrong": lost, "wrong_to_right": won,
                        "p_value": pytest.approx(mcnemar(lost, won))}  # fmt: skip
    assert results["paired"]["videos"] == len(rows) == 34
    # The full model is the one that is pruned without recovery, too.
    assert results["full"]["top1"] == results_of(pruned)["full"]["top1"]
    assert f"recover={results['recover']['name']}" in WAYS[way]
    assert results["recovery"]["seconds"] == pytest.approx(results["seconds"]["recover"])


def in_order(units: list[str]) -> list[str]:
    return [*map(str, sorted(read_units(units)))]


@pytest.mark.parametrize("way", WAYS)
def test_the_recovered_checkpoint_is_an_ordinary_one(
    way: str, pruned: Path, run: Run, directory: Path
) -> None:
    out = recover(way, run, directory)
    results = results_of(out)
    loaded = VideoClassifier.load(out / "recovered.ckpt")
    assert [*map(str, loaded.model.dropped)] == in_order(results["dropped"])
    assert loaded.provenance is not None
    times = 3 if way == "progressive" else 1
    assert len(loaded.provenance.recovered) == times
    gone = [record["dropped"] for record in loaded.provenance.recovered]
    assert gone == [in_order(results["dropped"][: 3 - times + i + 1]) for i in range(times)]
    assert all(one["recover"] == results["recover"] for one in loaded.provenance.recovered)
    evaluated = directory / f"evaluate-recovered-{way}"
    done = run("evaluate", f"ckpt={out / 'recovered.ckpt'}", "logger=none",
               f"hydra.run.dir={evaluated}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = results_of(evaluated)
    for key in ("top1", "top5", "flops", "parameters"):
        assert found[key] == pytest.approx(results["recovered"][key]), key


def test_bridges_and_the_classifier_are_told_of(pruned: Path, run: Run, directory: Path) -> None:
    out = recover("linear", run, directory)
    results = results_of(out)
    # The same layers go, and dropping alone leaves the same model.
    plain = results_of(pruned)
    for key in ("dropped", "full", "pruned"):
        one, other = results[key], plain[key]
        if key != "dropped":
            one, other = one["top1"], other["top1"]
        assert one == other
    recovery = results["recovery"]
    assert recovery["clips"] == 20
    assert recovery["divergence"] < recovery["divergence_before"]
    places = [
        bridge.place for bridge in bridges(VideoClassifier.load(out / "recovered.ckpt").model)
    ]
    assert [int(at) for at in recovery["bridges"] if int(at) not in recovery["folded"]] == places
    assert recovery["bridge"] in ("full", "low_rank", "scale", "none")
    assert bool(places) == (recovery["bridge"] != "none")


def test_training_begins_with_what_is_said(pruned: Path, run: Run, directory: Path) -> None:
    distilled, anew = (recover(way, run, directory) for way in ("distill", "scratch"))
    states = {
        name: torch.load(path, weights_only=True)["state_dict"]
        for name, path in (
            ("pruned", distilled / "pruned.ckpt"),
            ("distilled", distilled / "recovered.ckpt"),
            ("anew", anew / "recovered.ckpt"),
        )
    }
    assert states["pruned"].keys() == states["anew"].keys()
    added = states["distilled"].keys() - states["pruned"].keys()
    assert added  # the bridges that it begins with
    assert all(".before." in name or ".after." in name for name in added)
    plain = torch.load(pruned / "pruned.ckpt", weights_only=True)["state_dict"]
    # What recovery trains is a copy: the pruned model stays as dropping leaves it.
    assert all(torch.equal(plain[name], states["pruned"][name]) for name in plain)

    def far(name: str) -> float:
        keys = [key for key in plain if key.endswith("fc1.weight")]
        return max(float((states[name][key] - plain[key]).abs().max()) for key in keys)

    assert 0 < far("distilled") < far("anew")
    for out in (distilled, anew):
        recovery = results_of(out)["recovery"]
        assert recovery["epochs"] == math.ceil(0.25 * 1)
        assert recovery["clips"] == 34
        assert 0 <= recovery["val_top1"] <= 1
        assert not (out / "recovery/3-dropped/partial").exists()


def test_progressive_scores_and_recovers_in_turns(pruned: Path, run: Run, directory: Path) -> None:
    out = recover("progressive", run, directory)
    results = results_of(out)
    assert len(set(results["dropped"])) == 3
    assert results["dropped"][0] == results_of(pruned)["dropped"][0]
    assert len((out / "scores.csv").read_text().splitlines()) == 1 + 16
    assert results["settings"]["step"] == 1


def test_a_recovered_model_is_pruned_again_and_fine_tuned_further(
    pruned: Path, run: Run, directory: Path
) -> None:
    recovered = recover("linear", run, directory) / "recovered.ckpt"
    before = VideoClassifier.load(recovered)
    again = directory / "pruned-again"
    done = run("prune", "model=mvit", "k=2", "metric=magnitude", "recover=linear",
               "recover.split=val", "recover.clips=7", "logger=none", f"ckpt={recovered}",
               f"hydra.run.dir={again}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results, twice = results_of(again), VideoClassifier.load(again / "recovered.ckpt")
    now, then = read_units(results["dropped"]), before.model.dropped
    assert set(now).isdisjoint(then)
    assert twice.model.dropped == tuple(sorted([*now, *then]))
    assert before.provenance is not None
    assert twice.provenance is not None
    assert len(twice.provenance.recovered) == 2
    # It knows the clips of val that it was fitted to, and no others.
    known = set(before.provenance.trained_on)
    assert len(set(twice.provenance.trained_on) - known) == 7

    further = directory / "further"
    done = run("train", "model=mvit", "logger=none", f"ckpt={recovered}", f"fine_tuned={further}")
    assert done.returncode == 0, done.stderr
    tuned = VideoClassifier.load(further / "best.ckpt")
    assert tuned.model.dropped == before.model.dropped
    assert [b.described() for b in bridges(tuned.model)] == [
        b.described() for b in bridges(before.model)
    ]
    assert tuned.provenance is not None
    assert tuned.provenance.settings["ckpt"] == file_digest(recovered)
    assert len(tuned.provenance.recovered) == 1
    assert any(
        not torch.equal(value, before.state_dict()[name])
        for name, value in tuned.state_dict().items()
    )


@pytest.mark.parametrize(
    ("task", "arguments", "line"),
    [
        ("prune", ["strategy=progressive"], "say how: recover=linear, distill or finetune"),
        ("prune", ["recover=distill", "recover.share=0"], "recover.share=0 is out of range"),
        ("prune", ["recover=linear", "recover.split=test"], "recover.split=test is unknown"),
        ("train", ["ckpt=missing.ckpt"], "ckpt=missing.ckpt does not exist"),
        ("train", ["model=timesformer", "ckpt={full}"], "model.name=timesformer, but checkpoint"),
        ("train", ["ckpt={full}", "model.tiny.num_frames=8"], "model.num_frames=8, but checkpoint"),
        ("train", ["ckpt={full}", "dataset=demo_ucf101"], "has 17 classes that are not the 12 of"),
    ],
)
def test_what_cannot_be_recovered_or_gone_on_from_is_one_line(
    task: str, arguments: list[str], line: str, pruned: Path, run: Run, directory: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    full = directory / "runs/train/demo_dai/mvit/best.ckpt"
    model = [] if any(a.startswith("model=") for a in arguments) else ["model=mvit"]
    place = f"fine_tuned={tmp_path}" if task == "train" else f"hydra.run.dir={tmp_path}"
    arguments = [a.format(full=full) for a in arguments]
    done = run(task, *model, *arguments, "logger=none", place)
    assert_refused(done, line)
    assert not (tmp_path / "results.json").exists()
