"""What a job takes and makes, as artifacts."""

from __future__ import annotations

from pathlib import Path

from vitprune.data import VideoDataModule
from vitprune.tasks.run import Run
from vitprune.tracking import lineage


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
