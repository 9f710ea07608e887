"""``export=[onnx]``: the model that a job ends with, as a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitprune.data import VideoDataModule
from vitprune.data.groups import SplitName
from vitprune.deploy import Bundle, export
from vitprune.deploy.clips import ClipRule, pixels_of
from vitprune.deploy.description import DESCRIPTION, Description
from vitprune.deploy.module import BundleModule
from vitprune.errors import InputError
from vitprune.files import file_digest
from vitprune.report.exported import print_exported
from vitprune.results.statistics import proportion_interval
from vitprune.results.writing import RESULTS, write_json
from vitprune.tasks.run import Run
from vitprune.training import VideoClassifier
from vitprune.training.classifier import view_probabilities

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate, Prune

BUNDLE = "bundle"
"""The directory of the bundle, in the job's own."""


def export_model(
    cfg: Prune | Evaluate,
    run: Run,
    classifier: VideoClassifier,
    checkpoint: Path,
    data: VideoDataModule,
    results: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> None:
    """Export a model whose results are written, and say in ``results.json`` what was measured.

    Args:
        cfg: of the job.
        run: whose directory gets the bundle.
        classifier: the model.
        checkpoint: its file.
        data: whose test clips the bundle is checked with.
        results: of the job, as ``results.json`` has them.
        figures: of the model on the test split: ``top1``, ``flops``.

    Raises:
        InputError: it cannot be exported; the line also says what is there all the same.
    """
    how, directory, test = cfg.deploy, run.directory / BUNDLE, data.splits["test"]
    interval = proportion_interval(round(figures["top1"] * len(test)), len(test))
    known = classifier.provenance
    provenance = {
        "ckpt": str(checkpoint),
        "ckpt_digest": file_digest(checkpoint),
        "dataset": data.name,
        "videos": len(test),
        "top1": figures["top1"],
        "top1_interval": list(interval),
        "flops": figures["flops"],
        "fine_tuning": None if known is None else dict(known.settings),
        "recovered": [] if known is None else [dict(one) for one in known.recovered],
        "leakage": results["leakage"],
    }
    try:
        bundle = export(
            classifier, directory, cfg.export, clips=_clips(data, "test", how.clips),
            batch=how.at_once(), opset=how.opset, conv3d=how.conv3d, precisions=how.precision,
            calibration=_clips(data, cfg.calibration, how.calibration) if how.precision else None,
            max_loss=how.max_loss, provenance=provenance,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{error} (the job's results are in {run.directory})") from error
    description = bundle.description
    if how.precision:
        rows = [description.measured[0], *_with_top1(description, directory, data)]
        description = replace(description, measured=rows)
        write_json(directory / DESCRIPTION, description.plain())
    exported = {
        "directory": BUNDLE,
        "models": [one.name for one in description.models],
        "measured": list(description.measured),
        "machine": description.machine,
        "quantised": {
            one.name: asdict(one.quantised) for one in description.models if one.quantised
        },
    }
    write_json(run.directory / RESULTS, {**results, "exported": exported})
    print_exported(str(directory), exported)


def _clips(data: VideoDataModule, split: SplitName, count: int) -> NDArray[np.uint8]:
    """Pixels of clips that are spread over a split: uint8 [N, T, H, W, 3]."""
    dataset = data.splits[split].evaluating()
    rule = ClipRule.of(vars(dataset.spec))
    numbers = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    return np.stack([pixels_of(dataset[int(n)]["clips"][0].numpy(), rule) for n in numbers])


def _with_top1(
    description: Description, directory: Path, data: VideoDataModule
) -> Iterator[dict[str, Any]]:
    """What was measured of every model of a bundle, with its Top-1 on the test split."""
    test = data.evaluation("test", views=True)
    for row, one in zip(description.measured[1:], description.models, strict=True):
        bundle = Bundle.load(directory, one.runtime, precision=one.precision)
        right = [
            int(view_probabilities(BundleModule(bundle), item["clips"][None]).argmax())
            == item["label"]
            for item in (test[number] for number in range(len(test)))
        ]
        yield {**row, "top1": float(np.mean(right))}
