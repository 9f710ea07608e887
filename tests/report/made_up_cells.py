"""Cells as prune.py leaves them, with figures that are made up."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitprune.results.curves import Curves
from vitprune.results.safety import Flip, SafetyCard, changes
from vitprune.results.settings import settings_of

LAYERS = {"timesformer": 12, "video_swin": 24, "mvit": 16}


def write_cell(
    sweep: Path,
    dataset: str = "dai",
    model: str = "mvit",
    metric: str = "R",
    direction: str = "lowest",
    k: int = 5,
    *,
    right: Sequence[bool] | float = 0.9,
    dropped: Sequence[int] | None = None,
    variant: str = "v2_s",
    seed: int = 0,
    lr: float = 1e-3,
    curves: bool = False,
    videos: int = 40,
    where: str | None = None,
    leakage: dict[str, int] | None = None,
) -> Path:
    """One finished cell; ``right`` says which videos the pruned model gets right, or how many."""
    path = sweep / (where or f"{dataset}/{model}/{metric}-{direction}-k{k}")
    path.mkdir(parents=True)
    hits = np.arange(videos) < right * videos if isinstance(right, float) else np.array(right)
    label = np.arange(videos) % 4
    full = np.where(np.arange(videos) > 0, label, label + 1)
    pruned = np.where(hits, label, (label + 1) % 4)
    with (path / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "label", "full", "pruned"])
        writer.writerows((f"v{i}.mp4", *row) for i, row in enumerate(zip(label, full, pruned)))  # noqa: B905
    layers = LAYERS[model]
    draw = np.random.default_rng(7)
    jsd = draw.random(layers) * 0.3
    values = {"JSD": jsd, "dProb": jsd - 0.05 * draw.random(layers)}
    values["R"] = (values["JSD"] + values["dProb"]) / 2
    with (path / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["unit", *(name for m in values for name in (m, f"{m}_se"))])
        for i in range(layers):
            writer.writerow([i, *(x for m in values for x in (values[m][i], 0.01))])
    if dropped is None:
        order = np.argsort(values.get(metric, jsd))
        dropped = (order if direction == "lowest" else order[::-1])[:k].tolist()
    if curves:
        made_up_curves(layers, videos, seed=seed).save(path / "curves.npz")
    training = sweep / "train" / dataset / model
    training.mkdir(parents=True, exist_ok=True)
    (training / "metrics.csv").write_text(
        "epoch,step,train/loss,val/top1\n0,9,2.0,\n0,19,1.5,\n0,19,,0.5\n1,39,1.0,\n1,39,,0.9\n"
    )
    settings = write_started(path, dataset, model, metric, direction, k, variant, seed, lr)
    cost = {"parameters": 1e6, "flops": 2e8, "latency_ms": 20.0, "checkpoint_bytes": 4e6}
    share = 1 - k / layers
    results: dict[str, Any] = {
        "model": {"name": model, "variant": variant, "num_classes": 4, "num_frames": 8,
                  "image_size": 64},
        "dataset": {"name": dataset, "classes": list("abcd")},
        "ckpt": str(training / "best.ckpt"),
        "metric": metric, "k": k, "direction": direction, "scope": "layer", "target": "predicted",
        "strategy": "oneshot", "calibration": {"split": "val", "clips": 30}, "seed": seed,
        "precision": "32-true", "dropped": list(dropped),
        "full": {"top1": (full == label).mean(), "top5": 1.0, **cost},
        "pruned": {"top1": hits.mean(), "top5": 1.0, **{n: share * x for n, x in cost.items()}},
        "safety": {"pruned": made_up_card(label, full == label, hits)},
        "paired": {"videos": videos, "right_to_wrong": 1, "wrong_to_right": 0, "p_value": 1.0},
        "environment": {"vitprune": "0.1.0", "commit": "abc", "python": "3.11", "torch": "2.6",
                        "system": "Linux", "cpus": 2, "device": "cpu"},
        "seconds": {"total": 61.0}, "leakage": leakage,
        "settings": settings,
    }  # fmt: skip
    (path / "results.json").write_text(json.dumps(results))
    return path


def made_up_card(label: np.ndarray, full: np.ndarray, smaller: np.ndarray) -> dict[str, Any]:
    """What the smaller of two models costs classes, two drivers and two cameras."""
    videos = range(len(label))
    kinds = {
        "class": ["abcd"[i] for i in label],
        "subject": [f"driver {i % 2}" for i in videos],
        "view": [["front", "side"][i // 2 % 2] for i in videos],
    }
    groups = {kind: changes(names, full, smaller) for kind, names in kinds.items()}
    flips = [
        Flip(f"v{i}.mp4", "abcd"[label[i]], "abcd"[(label[i] + 1) % 4])
        for i in videos
        if full[i] and not smaller[i]
    ]
    return SafetyCard(groups, flips, {"full": 0.02, "smaller": 0.081}).plain()


SKILL = {"JSD": 0.8, "dProb": 0.75, "R": 0.82, "cosine": 0.6, "magnitude": 0.35, "random": 0.3}
"""After which share of the layers made-up Top-1 has fallen to a half."""


def made_up_curves(layers: int = 16, videos: int = 40, seed: int = 0, draws: int = 3) -> Curves:
    """Curves that fall from 94 to 6 %, of some metrics later than of others, greedily a bit later.

    The videos are the same whatever the seed; some are harder than others.
    """
    draw = np.random.default_rng(seed)
    oneshot = ["JSD", "dProb", "R", "cosine", "magnitude", *["random"] * draws]
    greedy = ["JSD", "dProb", "R", "cosine"]
    ways = [*(("oneshot", m) for m in oneshot), *(("greedy", m) for m in greedy)]

    def hits(rng: np.random.Generator) -> np.ndarray:
        hard = rng.random(videos)
        found = []
        for strategy, metric in ways:
            middle = SKILL[metric] + 0.05 * (strategy == "greedy")
            middle += 0.1 * draw.normal() * (metric == "random")
            top1 = 0.06 + 0.88 / (1 + np.exp(12 * (np.arange(layers) / layers - middle)))
            noise = 0.03 * draw.normal(size=(layers, videos))
            noise[0] = 0  # the full model is the same one in every order
            found.append(hard + noise < top1[:, None])
            found[-1][0] = hard < 0.94
        return np.array(found)

    return Curves(
        metric=np.array([metric for _, metric in ways]),
        strategy=np.array([strategy for strategy, _ in ways]),
        units=np.array([draw.permutation(layers)[:-1].astype(str) for _ in ways]),
        val=hits(np.random.default_rng(100)),
        test=hits(np.random.default_rng(101)),
        val_videos=np.array([f"v{i}.mp4" for i in range(videos)]),
        test_videos=np.array([f"t{i}.mp4" for i in range(videos)]),
    )


def write_started(
    path: Path,
    dataset: str,
    model: str,
    metric: str,
    direction: str,
    k: int,
    variant: str = "v2_s",
    seed: int = 0,
    lr: float = 1e-3,
) -> dict[str, Any]:
    """What a job leaves when it starts; its settings."""
    settings = settings_of({
        "task": "prune", "metric": metric, "direction": direction, "k": k, "strategy": "oneshot",
        "target": "predicted", "calibration": "val", "seed": seed, "runs": "runs",
        "dataset": {"name": dataset, "seed": seed},
        "model": {"name": model, "variant": variant, "recipe": {"lr": lr}},
    })  # fmt: skip
    path.mkdir(parents=True, exist_ok=True)
    overrides = [f"model={model}", f"metric={metric}"]
    started = {"settings": settings, "overrides": overrides}
    (path / "started.json").write_text(json.dumps(started))
    return settings


def write_asked(sweep: Path, model: Sequence[str]) -> None:
    """What a sweep leaves when it starts."""
    asked = {
        "dataset": ["dai", "ucf101"], "model": list(model), "metric": ["JSD", "dProb", "R"],
        "direction": ["lowest", "highest"],
    }  # fmt: skip
    command = [f"{axis}={','.join(values)}" for axis, values in asked.items() if axis != "dataset"]
    (sweep / "sweep.json").write_text(json.dumps({"command": command, "asked": asked}))


def write_grid(directory: Path) -> Path:
    """A sweep of MViT and TimeSformer on DAI and UCF101 with a failed, a started and missing cells.

    Of the 24 cells that its command asks for, 18 are finished.
    """
    for dataset in ("dai", "ucf101"):
        for model, k in (("mvit", 5), ("timesformer", 3)):
            for metric in ("JSD", "dProb", "R"):
                for direction in ("lowest", "highest"):
                    if (dataset, model, direction) == ("ucf101", "timesformer", "highest"):
                        continue  # 3 missing
                    if (dataset, model, direction) == ("ucf101", "mvit", "highest"):
                        continue  # 1 failed, 1 started, 1 missing
                    right = 0.9 if direction == "lowest" else 0.2
                    write_cell(directory, dataset, model, metric, direction, k, right=right,
                               curves=metric == "R")  # fmt: skip
    failed, started = (directory / f"ucf101/mvit/{metric}-highest-k5" for metric in ("JSD", "R"))
    write_started(failed, "ucf101", "mvit", "JSD", "highest", 5)
    (failed / "failure.json").write_text('{"error": "RuntimeError: no luck", "overrides": []}')
    write_started(started, "ucf101", "mvit", "R", "highest", 5)
    write_asked(directory, model=["mvit", "timesformer"])
    return directory
