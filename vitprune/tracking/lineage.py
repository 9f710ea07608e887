"""The artifacts of a run, and which comes from which: dataset, checkpoint, scores, pruned model.

Artifacts are told apart by their content. So the checkpoint that a pruning run names as its input
is, for W&B, the very one that the fine-tuning run names as its output, whenever and in whatever
order the two are sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Listing = Sequence[tuple[str, int]]
"""The videos of a split, each with its label."""


@dataclass(frozen=True)
class Asset:
    """Something that a run takes or makes.

    Attributes:
        name: of the W&B artifact.
        kind: its type.
        files: name within the artifact -> a file, or what a JSON file shall hold.
        metadata: what else there is to say.
    """

    name: str
    kind: str
    files: Mapping[str, Path | Mapping[str, Any]]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def dataset(name: str, classes: Sequence[str], splits: Mapping[str, Listing]) -> Asset:
    """A dataset as the list of its videos and labels; the videos themselves stay where they are."""
    listing = {split: [list(video) for video in videos] for split, videos in splits.items()}
    counts = {f"{split}_videos": len(videos) for split, videos in splits.items()}
    content = {"classes": list(classes), "splits": listing}
    return Asset(name, "dataset", {"dataset.json": content}, {"classes": len(classes), **counts})


def checkpoint(model: str, dataset: str | None, path: Path) -> Asset:
    """A model fine-tuned on ``dataset``; None if only its file is known."""
    return Asset(f"{model}-{dataset or path.stem}", "model", {path.name: path})


def scores(model: str, dataset: str, scope: str, calibration: str, directory: Path) -> Asset:
    """The relevance of a model's units of a scope: what ``directory`` has of it."""
    files = {name: directory / name for name in ("scores.npz", "scores.csv")}
    return Asset(
        f"{model}-{dataset}{_of(scope)}-scores", "scores", files, {"calibration": calibration}
    )


def pruned(results: Mapping[str, Any], directory: Path) -> Asset:
    """The smaller models of a cell, from its ``results.json``: pruned, and recovered if it was."""
    cell = f"{results['metric']}-{results['direction']}-k{results['k']}{_of(results['scope'])}"
    metadata = {
        "dropped": list(results["dropped"]),
        **{key: results["pruned"][key] for key in ("top1", "parameters", "flops")},
    }
    name = f"{results['model']['name']}-{results['dataset']['name']}-{cell}"
    if "recovered" in results:
        metadata |= {
            "recover": results["recover"],
            **{f"recovered.{key}": results["recovered"][key] for key in ("top1", "parameters")},
        }
    models = [name for name in ("pruned", "recovered") if name in results]
    files = {f"{model}.ckpt": directory / f"{model}.ckpt" for model in models}
    return Asset(name, "pruned-model", files, metadata)


def _of(scope: str) -> str:
    return "" if scope == "layer" else f"-{scope}"
