"""``export=[onnx]``: the model that a job ends with as a bundle, measured beside its others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitprune.data import VideoDataModule
from vitprune.data.groups import SplitName
from vitprune.deploy import export
from vitprune.deploy.clips import ClipRule, pixels_of
from vitprune.deploy.description import DESCRIPTION
from vitprune.deploy.exporting import as_deployed
from vitprune.deploy.measuring import Candidate, measure
from vitprune.deploy.timing import machine
from vitprune.errors import InputError
from vitprune.files import file_digest
from vitprune.pruning import FULL
from vitprune.report.exported import by_name, plain_table, print_exported
from vitprune.results.statistics import proportion_interval
from vitprune.results.writing import RESULTS, write_json
from vitprune.tasks.run import Run
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate, Prune

log = logging.getLogger(__name__)

BUNDLE = "bundle"
"""The directory of the bundle, in the job's own."""


def export_model(
    cfg: Prune | Evaluate,
    run: Run,
    models: Mapping[str, VideoClassifier],
    checkpoint: Path,
    data: VideoDataModule,
    results: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
) -> None:
    """Export a model whose results are written, and measure what is deployed beside torch.

    What was measured goes to ``results.json``, ``bundle.json``, the terminal and W&B.

    Args:
        cfg: of the job.
        run: whose directory gets the bundle.
        models: by name; the last one is exported, and with ``deploy.compare`` the others are
            measured beside it.
        checkpoint: the file of the last one.
        data: whose test clips the bundle is checked with.
        results: of the job, as ``results.json`` has them.
        figures: of every model on the test split: ``top1``, ``flops``.

    Raises:
        InputError: it cannot be exported or measured; the line also says what is there all the
            same.
    """
    directory, shared = run.directory / BUNDLE, _shared(cfg, data)
    *others, last = models
    provenance = _provenance(models[last], checkpoint, data, results, figures[last])
    run.tracker.send()  # as the results are there whatever comes of this
    try:
        bundle = export(models[last], directory, cfg.export, provenance=provenance, **shared)
        with TemporaryDirectory(dir=run.directory, prefix=".beside-") as place:
            bundles = {name: Path(place) / name for name in others if cfg.deploy.compare}
            for name, beside in bundles.items():
                log.info("Exporting the %s model, too, for the table only", name)
                export(models[name], beside, cfg.export, **shared)
            bundles[last] = directory
            log.info("Measuring what was exported (%s), with all its runtimes", ", ".join(bundles))
            candidates = [
                Candidate(name, as_deployed(models[name]), path, figures[name]["flops"])
                for name, path in bundles.items()
            ]
            videos = _videos(data, cfg.deploy.videos)
            measured = measure(candidates, videos, seconds=cfg.deploy.seconds)
    except InputError as error:
        raise InputError(f"{error} (the job's results are in {run.directory})") from error
    description = replace(
        bundle.description, measured=measured, machine=machine(torch.get_num_threads())
    )
    write_json(directory / DESCRIPTION, description.plain())
    exported = {
        "directory": BUNDLE,
        "models": [one.name for one in description.models],
        "batch": description.batch,
        "measured": measured,
        "machine": description.machine,
        "quantised": {
            one.name: asdict(one.quantised) for one in description.models if one.quantised
        },
    }
    write_json(run.directory / RESULTS, {**results, "exported": exported})
    print_exported(str(directory), exported)
    run.tracker.table("exported/models", *plain_table(measured))
    run.tracker.summary({"exported": by_name(measured)})


def stage_of(classifier: VideoClassifier) -> str:
    """What a model alone is called in the table: ``full``, ``pruned`` or ``recovered``."""
    known = classifier.provenance
    if not classifier.model.dropped:
        return FULL
    return "recovered" if known is not None and known.recovered else "pruned"


def _shared(cfg: Prune | Evaluate, data: VideoDataModule) -> dict[str, Any]:
    """What all models of a job are exported with."""
    how = cfg.deploy
    calibration = _clips(data, cfg.calibration, how.calibration) if how.precision else None
    return {
        "clips": _clips(data, "test", how.clips),
        "batch": how.at_once(),
        "opset": how.opset,
        "conv3d": how.conv3d,
        "dims": how.dims,
        "fused": how.fused,
        "precisions": how.precision,
        "calibration": calibration,
        "max_loss": how.max_loss,
    }


def _provenance(
    classifier: VideoClassifier,
    checkpoint: Path,
    data: VideoDataModule,
    results: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> dict[str, Any]:
    """Where an exported model comes from."""
    test, known = data.splits["test"], classifier.provenance
    interval = proportion_interval(round(figures["top1"] * len(test)), len(test))
    return {
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


def _clips(data: VideoDataModule, split: SplitName, count: int) -> NDArray[np.uint8]:
    """Pixels of clips that are spread over a split: uint8 [N, T, H, W, 3]."""
    dataset = data.splits[split].evaluating()
    rule = ClipRule.of(vars(dataset.spec))
    return np.stack([
        pixels_of(dataset[number]["clips"][0].numpy(), rule)
        for number in _spread(len(dataset), count)
    ])  # fmt: skip


def _videos(data: VideoDataModule, count: int | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Label and views of test videos, of all or of so many that are spread over them."""
    test = data.evaluation("test", views=True)
    for number in _spread(len(test), len(test) if count is None else count):
        item = test[number]
        yield item["label"], item["clips"].numpy()


def _spread(length: int, count: int) -> list[int]:
    """At most ``count`` of the numbers below ``length``, at even distances."""
    return np.unique(np.linspace(0, length - 1, count).round().astype(int)).tolist()
