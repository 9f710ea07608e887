"""train.py, prune.py and evaluate.py, run as a user runs them."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb

from vitprune.files import file_digest
from vitprune.results.curves import Curves

Run = Callable[..., subprocess.CompletedProcess[str]]


def only(pattern: str, directory: Path) -> Path:
    (path,) = directory.glob(pattern)
    return path


def test_prune_writes_all_results(pruned: Path) -> None:
    results = json.loads((pruned / "results.json").read_text())
    assert len(results["dropped"]) == results["k"] == 3
    assert results["metric"] == "R"
    assert results["calibration"]["split"] == "val"
    assert results["paired"]["videos"] == 34
    for key in ("parameters", "flops", "checkpoint_bytes"):
        assert 0 < results["pruned"][key] < results["full"][key]
    for model in ("full", "pruned"):
        assert 0 <= results[model]["top1"] <= results[model]["top5"] <= 1
        assert results[model]["latency_ms"] > 0
    paired = results["paired"]
    change = (paired["wrong_to_right"] - paired["right_to_wrong"]) / paired["videos"]
    assert results["pruned"]["top1"] - results["full"]["top1"] == pytest.approx(change)
    assert {"prepare", "score", "evaluate", "cost", "total"} <= set(results["seconds"])

    card = results["safety"]["pruned"]
    assert set(card["groups"]) == {"class"}  # its videos name neither subject nor camera
    for groups in card["groups"].values():
        for key in ("right_to_wrong", "wrong_to_right", "videos"):
            assert sum(group[key] for group in groups) == paired[key]
    answers = {row["video"]: row for row in csv.DictReader((pruned / "predictions.csv").open())}
    classes = results["dataset"]["classes"]
    assert len(card["flips"]) == paired["right_to_wrong"]
    for flip in card["flips"]:
        row = answers[flip["video"]]
        assert row["label"] == row["full"] == str(classes.index(flip["label"]))
        assert row["pruned"] == str(classes.index(flip["prediction"]))
    assert all(0 <= error <= 1 for error in card["ece"].values())
    assert (pruned / "safety.png").read_bytes()[:4] == b"\x89PNG"

    rows = list(csv.DictReader((pruned / "scores.csv").open()))
    assert [row["unit"] for row in rows] == [str(i) for i in range(16)]
    lowest = sorted(range(16), key=lambda i: float(rows[i]["R"]))[:3]
    assert results["dropped"] == [*map(str, lowest)]
    clips = np.load(pruned / "scores.npz")
    assert len(clips["labels"]) == results["calibration"]["clips"]
    assert (pruned / "relevance.png").read_bytes().startswith(b"\x89PNG")


def test_the_pruned_checkpoint_lacks_the_layers(pruned: Path) -> None:
    results = json.loads((pruned / "results.json").read_text())
    checkpoint = torch.load(pruned / "pruned.ckpt", weights_only=True)
    layers = {k.split(".")[2] for k in checkpoint["state_dict"] if k.startswith("model.blocks.")}
    assert len(layers) == 13
    assert checkpoint["vitprune"]["dropped"] == sorted(results["dropped"], key=int)


def test_one_wandb_run_per_job_is_written_offline(pruned: Path, directory: Path) -> None:
    assert len(list(pruned.glob("wandb/offline-run-*/*.wandb"))) == 1
    assert len(list(directory.glob("runs/train/*/mvit/wandb/offline-run-*/*.wandb"))) == 1


def test_evaluate_agrees_with_prune(pruned: Path, run: Run, directory: Path) -> None:
    results = json.loads((pruned / "results.json").read_text())
    checkpoint = {"full": directory / "runs/train/demo_dai/mvit/best.ckpt",
                  "pruned": pruned / "pruned.ckpt"}  # fmt: skip
    for which, path in checkpoint.items():
        out = directory / f"evaluate-{which}"
        done = run("evaluate", f"ckpt={path}", "logger=none", f"hydra.run.dir={out}")
        assert done.returncode == 0, done.stderr
        found = json.loads((out / "results.json").read_text())
        assert found["top1"] == pytest.approx(results[which]["top1"])
        assert found["top5"] == pytest.approx(results[which]["top5"])
        assert found["flops"] == results[which]["flops"]
        assert found["parameters"] == results[which]["parameters"]


def test_a_multirun_gives_the_same_scores_and_one_run_each(
    pruned: Path, run: Run, directory: Path
) -> None:
    sweep = directory / "sweep"
    done = run(
        "prune", "-m", "model=mvit", "k=3", "metric=R,JSD", "direction=lowest,highest",
        f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    jobs = sorted(path.parent for path in sweep.glob("**/results.json"))
    assert len(jobs) == 4
    for job in jobs:
        assert (job / "scores.csv").read_bytes() == (pruned / "scores.csv").read_bytes()
        assert len(list(job.glob("wandb/offline-run-*/*.wandb"))) == 1
    dropped = {job.name: json.loads((job / "results.json").read_text())["dropped"] for job in jobs}
    assert not set(dropped["R-lowest-k3"]) & set(dropped["R-highest-k3"])


@pytest.mark.parametrize(
    ("model", "dataset"), [("timesformer", "demo_ucf101"), ("video_swin", "demo_dai")]
)
def test_the_other_models_and_dataset(model: str, dataset: str, run: Run, directory: Path) -> None:
    out = directory / model
    done = run(
        "prune", f"model={model}", f"dataset={dataset}", "logger=none", f"hydra.run.dir={out}"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert len(results["dropped"]) == {"timesformer": 3, "video_swin": 6}[model]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["k=0"], "k=0 is out of range; it takes whole numbers from 1"),
        (["k=-1"], "k=-1 is out of range"),
        (["k=16"], "k=16 is out of range; the model has 16 layers: 1 to 15"),
        (["k=two"], "k=two is out of range"),
        (
            ["trainer.precision=8"],
            "trainer.precision=8 is unknown; trainer.precision takes 32-tr",
        ),
        (["+trainer.what=1"], "trainer: Trainer.__init__() got an unexpected keyword argument"),
        (["model.recipe.lr=0.5"], "with other settings: model.recipe.lr=0.001, not 0.5; fine-tune"),
        (["dataset.sampling=dense", "ckpt={full}"], "dataset.sampling=dense, but checkpoint"),
        (
            ["calibration=test", "dataset=demo_ucf101", "ckpt={full}"],
            "12 of the 12 classes",
        ),
        (["model=timesformer", "ckpt={full}"], "holds mvit, not model=timesformer"),
        (["ckpt=missing.ckpt"], "missing.ckpt does not exist"),
        (["ckpt={truncated}"], "cannot be read: truncated"),
        (["ckpt={other}"], "has 3 classes"),
        (["dataset=dai", "dataset.root=nowhere"], "nowhere, where dai should be"),
        (["dataset=ucf101", "dataset.root=nowhere"], "nowhere, where ucf101 should be"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], line: str, pruned: Path, run: Run, directory: Path, tmp_path: Path
) -> None:
    full = directory / "runs/train/demo_dai/mvit/best.ckpt"
    truncated = tmp_path / "truncated.ckpt"
    truncated.write_bytes(full.read_bytes()[:1000])
    other = tmp_path / "other.ckpt"
    checkpoint = torch.load(full, weights_only=True)
    checkpoint["vitprune"]["spec"]["num_classes"] = 3
    checkpoint["vitprune"]["class_names"] = ["a", "b", "c"]
    for name in ("weight", "bias"):
        key = f"model.head.{name}"
        checkpoint["state_dict"][key] = checkpoint["state_dict"][key][:3]
    torch.save(checkpoint, other)
    arguments = [a.format(full=full, truncated=truncated, other=other) for a in arguments]
    if not any(a.startswith("model=") for a in arguments):
        arguments = ["model=mvit", *arguments]
    real = any(a in ("dataset=dai", "dataset=ucf101") for a in arguments)
    if real:
        arguments = [*arguments, "model.full.weights=null"]
    out = tmp_path / "out"
    done = run("prune", *arguments, f"hydra.run.dir={out}", small=not real)
    assert_refused(done, line)
    assert not (out / "results.json").exists()


def test_bad_input_is_one_line_in_a_process_of_its_own(
    pruned: Path, run_alone: Run, tmp_path: Path
) -> None:
    done = run_alone("prune", "model=mvit", "k=0", f"hydra.run.dir={tmp_path}")
    assert_refused(done, "k=0 is out of range; it takes whole numbers from 1")


def assert_refused(done: subprocess.CompletedProcess[str], line: str) -> None:
    assert done.returncode == 2, done.stderr
    (error,) = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert line in error
    assert "Traceback" not in done.stderr
    assert "Error executing job" not in done.stderr


def test_scores_are_measured_once(pruned: Path, run: Run, directory: Path) -> None:
    again = run("prune", "model=mvit", "k=2", "metric=JSD", "logger=none",
                f"hydra.run.dir={directory / 'again'}")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "scores taken from the store" in again.stdout
    fresh = run("prune", "model=mvit", "k=3", "cache=false", "logger=none",
                f"hydra.run.dir={directory / 'fresh'}")  # fmt: skip
    assert "scores taken from the store" not in fresh.stdout
    for path in ("again", "fresh"):
        assert (directory / path / "scores.csv").read_bytes() == (
            pruned / "scores.csv"
        ).read_bytes()


def test_greedy_and_curves(pruned: Path, run: Run, directory: Path) -> None:
    out = directory / "curves"
    done = run(
        "prune", "model=mvit", "k=2", "strategy=greedy", "curves=true", "draws=2",
        "logger=none", f"hydra.run.dir={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    curves = Curves.load(out / "curves.npz")
    metrics = ["JSD", "dProb", "R", "cosine", "taylor"]
    assert curves.ways == [
        *(("oneshot", metric) for metric in (*metrics, "magnitude", "random")),
        *(("greedy", metric) for metric in metrics),
    ]
    assert (curves.test.shape, curves.val.shape) == ((13, 16, 34), (13, 16, 17))
    # The smaller model of the job and the curve's are the same, video by video.
    (greedy,) = curves.of(("greedy", "R"))
    assert curves.units[greedy, :2].tolist() == results["dropped"]
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert curves.test_videos.tolist() == [row["video"] for row in rows]
    for k, model in ((0, "full"), (2, "pruned")):
        right = [row["label"] == row[model] for row in rows]
        assert curves.test[greedy, k].tolist() == right
    assert (curves.test[:, 0] == curves.test[0, 0]).all()
    assert len((out / "curves.csv").read_text().splitlines()) == 1 + 13 * 16
    for name in ("curves.png", "curves.svg"):
        assert (out / name).stat().st_size > 0
    assert "k, 98 %" in done.stdout
    assert "Top-1 over dropped layers: MViT on demo_dai" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("metric", "strategy"),
    [("cosine", "oneshot"), ("taylor", "greedy"), ("random", "oneshot"), ("magnitude", "oneshot")],
)
def test_controls_go_through_the_same_command(
    metric: str, strategy: str, pruned: Path, run: Run, directory: Path
) -> None:
    out = directory / metric
    done = run("prune", "model=mvit", "k=2", f"metric={metric}", f"strategy={strategy}",
               "logger=none", f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, *rows = (out / "scores.csv").read_text().splitlines()
    assert header == f"unit,{metric},{metric}_se"
    assert len(rows) == 16


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_the_precision_reaches_scoring(
    precision: str, pruned: Path, run: Run, directory: Path
) -> None:
    out = directory / precision
    done = run(
        "prune", "model=mvit", "k=3", f"trainer.precision={precision}",
        "logger=none", f"hydra.run.dir={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rounded, exact = (np.load(where / "scores.npz")["values/JSD"] for where in (out, pruned))
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    half = torch.load(out / "pruned.ckpt", weights_only=True)["state_dict"]["model.head.weight"]
    assert half.dtype == (torch.bfloat16 if precision == "bf16-true" else torch.float32)


def test_a_training_shorter_than_its_validation_interval(run: Run, tmp_path: Path) -> None:
    done = run(
        "train", "model=mvit", "model.recipe.validate_every=4", "logger=none",
        f"fine_tuned={tmp_path / 'model'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "model/results.json").read_text())["val_top1"] >= 0


@pytest.fixture(scope="module")
def overflowing(pruned: Path, directory: Path) -> Path:
    """A checkpoint with a layer whose activations float16 cannot hold."""
    checkpoint = torch.load(directory / "runs/train/demo_dai/mvit/best.ckpt", weights_only=True)
    checkpoint["state_dict"]["model.blocks.7.branches.mlp.fc1.weight"] *= 1e5
    torch.save(checkpoint, directory / "overflowing.ckpt")
    return directory / "overflowing.ckpt"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("prune", ["model=mvit", "k=2"]),
        ("evaluate", []),
        ("evaluate", ["explain=relevance"]),
        ("evaluate", ["explain=attention", "head=9.0"]),
        ("evaluate", ["explain=causal", "class=drink", "head=9.0"]),
    ],
)
def test_what_is_not_finite_is_one_line(
    command: str, arguments: list[str], overflowing: Path, run: Run, tmp_path: Path
) -> None:
    done = run(command, f"ckpt={overflowing}", *arguments, "trainer.precision=16-true",
               "cache=false", "logger=none", f"hydra.run.dir={tmp_path / 'out'}")  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        r"error: videos/\S+\.mp4: the logits of the full model are not finite, first in layer "
        r"7; 16-bit floats end at 65504: use trainer\.precision=bf16-mixed or "
        r"trainer\.precision=32-true",
        line,
    )
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_training_that_diverges_is_one_line(run: Run, tmp_path: Path) -> None:
    done = run("train", "model=mvit", "model.recipe.lr=1e30", "logger=none",
               f"fine_tuned={tmp_path / 'model'}")  # fmt: skip
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert re.match(r"error: fine-tuning: the loss is (nan|inf) in epoch 0, step \d; its", line)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model" / "best.ckpt").exists()


def test_trouble_with_wandb_costs_no_results(
    pruned: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(wandb.Run, "log", refuse)
    runs = tmp_path / "runs"
    done = run("prune", "model=mvit", "k=3", f"runs={runs}", "trainer.log_every_n_steps=1",
               f"hydra.run.dir={tmp_path / 'out'}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    warning = "W&B failed (ConnectionError: no route to host): this job goes on without"
    assert (done.stdout + done.stderr).count(warning) == 2  # of fine-tuning and of pruning
    assert "Traceback" not in done.stdout + done.stderr
    for where in (tmp_path / "out", runs / "train/demo_dai/mvit"):
        assert json.loads((where / "results.json").read_text())


@pytest.mark.parametrize(
    "arguments", [["model.recipe.lr=-1"], ["model.weights=nowhere.pyth"], ["+trainer.what=1"]]
)
def test_a_training_that_fails_leaves_the_finished_one_alone(
    arguments: list[str], pruned: Path, run: Run, directory: Path
) -> None:
    trained = directory / "runs/train/demo_dai/mvit"
    before = {name: (trained / name).read_bytes() for name in ("results.json", "best.ckpt")}
    done = run("train", "model=mvit", "logger=none", *arguments)
    assert done.returncode == 2, done.stderr
    assert {name: (trained / name).read_bytes() for name in before} == before


def test_clips_that_were_trained_on_are_refused_or_told(run: Run, directory: Path) -> None:
    place = directory / "runs/train/demo_ucf101/leaky"
    given = ["model=mvit", "dataset=demo_ucf101", "logger=none"]
    trained = run("train", *given, f"fine_tuned={place}")
    assert trained.returncode == 0, trained.stderr
    out = directory / "leaky"
    other = [*given, f"ckpt={place / 'best.ckpt'}", "dataset.val_seed=7", f"hydra.run.dir={out}"]
    refused = run("prune", *other)
    assert refused.returncode == 2, refused.stdout
    assert "clips of the val split of demo_ucf101, such as" in refused.stderr
    assert "allow_leakage=true" in refused.stderr
    assert not (out / "results.json").exists()
    allowed = run("prune", *other, "allow_leakage=true")
    assert allowed.returncode == 0, allowed.stderr
    leaked = json.loads((out / "results.json").read_text())["leakage"]
    assert leaked["val"] > 0
    assert f"trained on {leaked['val']} val clips" in (out / "report.html").read_text()


def test_results_say_what_was_really_done(pruned: Path, run: Run, directory: Path) -> None:
    """A checkpoint decides how its clips are taken, whatever the configuration's defaults are."""
    place = directory / "runs/train/demo_dai/dense"
    trained = run("train", "model=mvit", "logger=none", "dataset.sampling=dense",
                  f"fine_tuned={place}")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    out = directory / "dense"
    done = run("prune", "model=mvit", "k=2", "logger=none", f"ckpt={place / 'best.ckpt'}",
               f"hydra.run.dir={out}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert results["clip_settings"]["sampling"] == "dense"
    assert results["settings"]["dataset"]["sampling"] == "dense"
    assert results["fine_tuning"]["dataset"]["sampling"] == "dense"
    assert results["ckpt_digest"] == file_digest(place / "best.ckpt")
    assert results["leakage"] is None


def test_a_class_map_says_which_class_is_which(pruned: Path, run: Run, directory: Path) -> None:
    trained = directory / "runs/train/demo_dai/mvit/best.ckpt"
    classes = torch.load(trained, weights_only=True)["vitprune"]["class_names"]
    sports = sorted(path.name for path in (directory / "data/demo_ucf101/UCF-101").iterdir())
    path = directory / "map.csv"
    lines = [f"{name},{classes[i]}" for i, name in enumerate(sports)]
    path.write_text("\n".join(["class,checkpoint_class", *lines]) + "\n")
    done = run("evaluate", f"ckpt={trained}", "dataset=demo_ucf101", f"class_map={path}",
               "logger=none", f"hydra.run.dir={directory / 'mapped'}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((directory / "mapped/results.json").read_text())
    assert results["dataset"]["classes"] == classes


@pytest.mark.parametrize("how", [[], ["recover=linear", "recover.clips=20"],
                                 ["strategy=progressive", "recover=linear", "recover.clips=20"]],
                         ids=["dropped", "recovered", "in turns"])  # fmt: skip
def test_a_budget_is_kept_to_also_by_what_is_recovered(
    how: list[str], pruned: Path, run: Run, tmp_path: Path
) -> None:
    done = run("prune", "model=mvit", "budget.parameters=0.75", "budget.flops=0.9", *how,
               "logger=none", f"hydra.run.dir={tmp_path}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    last, full = results["recovered" if how else "pruned"], results["full"]
    assert results["k"] == len(results["dropped"]) >= 1
    assert results["budget"]["limits"] == {"parameters": 0.75, "flops": 0.9}
    for name, limit in results["budget"]["limits"].items():
        assert last[name] / full[name] <= limit
        assert last[name] / full[name] <= results["budget"]["spent"][name] * (1 + 1e-9)
    assert "Budget: flops" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["budget.megabytes=0.001"], "budget.megabytes=0.001 cannot be reached: without all 15"),
        (["budget.flops=1"], "the full model keeps to budget.flops=1; nothing is to be dropped"),
        (["budget.flops=0.5", "k=3"], "k=3 and budget.flops=0.5 are both given"),
        (["budget.flops=1.5"], "budget.flops=1.5 is out of range; it takes null or numbers above"),
        (["budget.latency_ms=0"], "budget.latency_ms=0 is out of range"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(
    arguments: list[str], line: str, pruned: Path, run: Run, tmp_path: Path
) -> None:
    done = run("prune", "model=mvit", *arguments, "logger=none", f"hydra.run.dir={tmp_path}")
    assert_refused(done, line)
    assert not (tmp_path / "results.json").exists()
