"""The files of a job of prune.py, its pictures, the same for W&B, and what comes from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitprune.data import VideoDataModule
from vitprune.pruning import FULL, Comparison, Plan
from vitprune.report import charts
from vitprune.results.paper import called
from vitprune.results.safety import Change, SafetyCard
from vitprune.results.writing import write_csv
from vitprune.tasks.run import Run
from vitprune.tracking import lineage
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


def write_pruning(
    run: Run,
    cfg: Prune,
    plan: Plan,
    models: Mapping[str, VideoClassifier],
    answers: Comparison,
    data: VideoDataModule,
    cards: Mapping[str, SafetyCard],
) -> None:
    """Write the smaller models, each by its name, the scores, the answers and their cards."""
    for name, classifier in models.items():
        classifier.save(run.directory / f"{name}.ckpt")
    _write_relevance(run, cfg, plan)
    _write_predictions(run, answers, data)
    _write_safety(run, cards)


def _write_relevance(run: Run, cfg: Prune, plan: Plan) -> None:
    scores = plan.scores
    scores.to_csv(run.directory / "scores.csv", cfg.target)
    scores.save(run.directory / "scores.npz")
    metrics = scores.metrics
    mean = {metric: scores.mean(metric, cfg.target) for metric in metrics}
    error = {metric: scores.standard_error(metric, cfg.target) for metric in metrics}
    charts.relevance(
        f"Relevance of the {called(cfg.scope)}: {cfg.model.name} on {cfg.dataset.name}",
        [str(unit) for unit in scores.units],
        mean,
        error,
        {cfg.metric: {cfg.direction: [str(unit) for unit in plan.dropped]}},
        cfg.scope,
    ).write(run.directory / "relevance.png")
    run.tracker.image("relevance/chart", run.directory / "relevance.png")
    run.tracker.table(
        "relevance/units",
        ["unit", *metrics, *(f"{metric} standard error" for metric in metrics), "dropped"],
        [
            [
                str(unit),
                *(float(mean[metric][i]) for metric in metrics),
                *(float(error[metric][i]) for metric in metrics),
                unit in plan.dropped,
            ]
            for i, unit in enumerate(scores.units)
        ],
    )
    run.tracker.series(
        "relevance/unit", {f"relevance/{metric}": mean[metric].tolist() for metric in metrics}
    )


def _write_predictions(run: Run, comparison: Comparison, data: VideoDataModule) -> None:
    names, classes = data.splits["test"].names, data.class_names
    found = comparison.models
    answers = (comparison.label, *(one.prediction for one in found.values()))
    columns = ["video", "label", *found]
    rows = [(names[video], *row) for video, *row in zip(comparison.video, *answers, strict=True)]
    if cameras(views := views_of(comparison.video.tolist(), data)):
        columns.append("view")
        rows = [(*row, view) for row, view in zip(rows, views, strict=True)]
    write_csv(run.directory / "predictions.csv", columns, rows)
    width = len(answers)
    named = [(name, *(classes[c] for c in row[:width]), *row[width:]) for name, *row in rows]
    run.tracker.table("predictions", columns, named)


def _write_safety(run: Run, cards: Mapping[str, SafetyCard]) -> None:
    """Of the model that the job ends with."""
    *_, (name, card) = cards.items()
    if classes := card.groups.get("class"):
        chart = charts.safety("Recall of every class", classes, name)
        chart.write(run.directory / "safety.png")
        run.tracker.image("safety/chart", run.directory / "safety.png")
    for kind, changes in card.groups.items():
        columns = [field.name for field in fields(Change)]
        rows = [[getattr(one, column) for column in columns] for one in changes]
        run.tracker.table(f"safety/{kind}", columns, rows)


def views_of(videos: Sequence[int], data: VideoDataModule) -> list[str]:
    """The camera of each test video, by its number; empty where unknown."""
    clips = data.splits["test"].clips
    return [clips[video].view for video in videos]


def cameras(views: Sequence[str]) -> list[str]:
    """The names of the cameras, sorted; none where there are not several."""
    names = sorted({*views} - {""})
    return names if len(names) > 1 else []


def by_view(
    videos: Sequence[int], hits: Mapping[str, np.ndarray], data: VideoDataModule
) -> dict[str, dict[str, float]] | None:
    """Top-1 on the test videos of each camera; None where there are not several.

    Args:
        videos: the numbers of N test videos.
        hits: name of a model -> which of them it answers right, [N].
        data: whose test split it is.

    Returns:
        Of every camera, its number of ``videos`` and every model's Top-1, in [0, 1].
    """
    views = np.array(views_of(videos, data))
    if not (names := cameras(views.tolist())):
        return None
    return {
        name: {
            "videos": int((views == name).sum()),
            **{model: float(hit[views == name].mean()) for model, hit in hits.items()},
        }
        for name in names
    }


def safety_cards(answers: Comparison, data: VideoDataModule) -> dict[str, SafetyCard]:
    """Name of a smaller model -> what it costs which class, subject and view."""
    test, videos = data.splits["test"], answers.video.tolist()
    names = [test.names[video] for video in videos]
    kinds = {
        "subject": [test.clips[video].group for video in videos],
        "view": views_of(videos, data),
    }
    smaller = [name for name in answers.models if name != FULL]
    return {name: answers.safety(name, names, data.class_names, kinds) for name in smaller}


def dataset_asset(data: VideoDataModule) -> lineage.Asset:
    """A dataset as the list of its videos."""
    splits = {
        name: [(video, clip.label) for video, clip in zip(split.names, split.clips, strict=True)]
        for name, split in data.splits.items()
    }
    return lineage.dataset(data.name, data.class_names, splits)


def trace_pruning(
    run: Run,
    data: VideoDataModule,
    checkpoint: Path,
    pruned: lineage.Asset,
    scores: lineage.Asset,
    *,
    model: str,
    named: bool,
    measured: bool,
) -> None:
    """Tell W&B what a pruned model comes from.

    Args:
        run: whose tracker is told.
        data: what it was measured on.
        checkpoint: of the full model.
        pruned: the smaller model.
        scores: by which it was chosen.
        model: name of the architecture.
        named: whether ``ckpt=`` named the checkpoint. It may then come from anywhere, so it goes
            by the name of its file.
        measured: whether the scores were measured here; those from the store are an input, too.
    """
    run.tracker.takes(dataset_asset(data))
    run.tracker.takes(lineage.checkpoint(model, None if named else data.name, checkpoint))
    (run.tracker.makes if measured else run.tracker.takes)(scores)
    run.tracker.makes(pruned)
