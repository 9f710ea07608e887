"""Exported models beside torch: how close, how fast, how large, and what exporting takes.

``python benchmarks/deploy.py [--rounds SECONDS] [--only NAME] [--int8] [--no-conv3d] [--tiny]``

Every architecture, at its real size and as the stand-ins have it, full and without the layers that
Table 1 drops (here the last ones but one), is exported for ONNX Runtime and OpenVINO in a process
of its own. Then all that is there of a model takes turns, each in a process of its own: full and
smaller, torch as vitprune runs it and both runtimes in float32, OpenVINO also in bfloat16 where the
processor has it, and with ``--int8`` both in int8. Prints a table: seconds and peak memory of
exporting, over what the model took before; the largest deviation of a logit from torch's on four
clips of noise; the median latency of a clip and torch's over it (``ratio``); the smaller model's
latency as a share of the full one's in the same runtime (``of full``), and that over its share of
FLOPs (``over FLOPs``), which is 1 where time goes as FLOPs do; megabytes on disk; and the peak of
memory of the process that runs it.
``--no-conv3d`` exports without convolutions over three axes. ``--tiny`` shows in seconds that it
works: one small model, ten turns, no meaning.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table

from vitprune.deploy import export
from vitprune.deploy.exporting import as_deployed
from vitprune.deploy.measuring import FULL, Candidate, measure
from vitprune.deploy.process import EAGER, peak_bytes
from vitprune.deploy.runtimes import has_bfloat16
from vitprune.deploy.timing import processor
from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.pruning import drop_layers
from vitprune.pruning.cost import count_flops
from vitprune.report.exported import called
from vitprune.training import VideoClassifier

FORMATS = ("onnx", "openvino")
CLASSES = 9


@dataclass(frozen=True)
class Case:
    """A model by name, how many layers are dropped, and what of it is not as usual."""

    name: str
    variant: str
    k: int
    config: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    "TimeSformer base": Case("timesformer", "base", 3),
    "Video Swin-T": Case("video_swin", "t", 3),
    "MViT v2-S": Case("mvit", "v2_s", 5),
    "VideoMAE base": Case("videomae", "base", 3),
    "TimeSformer tiny": Case("timesformer", "tiny", 3),
    "Video Swin tiny": Case("video_swin", "tiny", 6),
    "MViT tiny": Case("mvit", "tiny", 5),
}
TINY = {"TimeSformer of two layers": Case("timesformer", "tiny", 1, {"depth": 2})}


def classifier_of(case: Case, dropped: int) -> VideoClassifier:
    """A model with weights of no meaning, without ``dropped`` of its layers."""
    torch.manual_seed(0)
    model = build_model(case.name, case.variant, num_classes=CLASSES, config=case.config)
    if dropped:
        model = drop_layers(model, model.layers[-1 - dropped : -1])
    settings = {"num_frames": model.spec.num_frames, "image_size": model.spec.image_size}
    return VideoClassifier(model, [f"class {i}" for i in range(CLASSES)], settings)


def exported(
    case: Case, dropped: int, directory: Path, conv3d: bool, precisions: Sequence[str]
) -> tuple[float, float]:
    """Leaves a bundle; seconds that it took, and the peak of memory in MB over what was before."""
    classifier = classifier_of(case, dropped)
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    before = peak_bytes()
    bundle = export(classifier, directory, FORMATS, conv3d=conv3d, precisions=precisions)
    return bundle.description.seconds, (peak_bytes() - before) / 1e6


def rows(
    name: str, case: Case, conv3d: bool, precisions: Sequence[str], seconds: float
) -> Iterator[Sequence[str]]:
    """The lines of a model in the table, full and without layers."""
    context = get_context("forkserver")  # which has loaded torch, and computed nothing
    context.set_forkserver_preload(["vitprune.launch.commands", "vitprune.models"])
    took, candidates = {}, []
    with TemporaryDirectory() as place:
        for label, dropped in ((FULL, 0), (f"without {case.k}", case.k)):
            directory = Path(place) / label
            with ProcessPoolExecutor(1, context) as process:
                work = process.submit(exported, case, dropped, directory, conv3d, precisions)
                took[label] = work.result()
            model = as_deployed(classifier_of(case, dropped))
            flops = count_flops(model, torch.zeros(1, 3, *sizes(model)))
            candidates.append(Candidate(label, model, directory, flops))
        measured = measure(candidates, seconds=seconds)
    eager = {row["model"]: row["latency_ms"] for row in measured if row["runtime"] == EAGER}
    for row in measured:
        label, first, shares = row["model"], row["runtime"] == EAGER, row.get("of_full")
        yield [
            name if first and label == FULL else "",
            label if first else "",
            *(f"{figure:.0f}" if first else "" for figure in took[label]),
            called(row),
            "" if first else f"{row['deviation']:.0e}",
            f"{row['latency_ms']:.3g}",
            f"{eager[label] / row['latency_ms']:.2f}",
            *(
                [f"{shares['latency']:.2f}", f"{shares['latency'] / shares['flops']:.2f}"]
                if shares
                else ["", ""]
            ),
            f"{row['bytes'] / 1e6:.3g}",
            f"{row['peak_bytes'] / 1e6:.0f}",
        ]


def sizes(model: VideoTransformer) -> tuple[int, int, int]:
    """T, H and W of a model's clips."""
    spec = model.spec
    return spec.num_frames, spec.image_size, spec.image_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=float, default=10.0, help="seconds of turns, for each row")
    parser.add_argument("--only", choices=CASES, help="one model")
    parser.add_argument("--int8", action="store_true", help="both runtimes in int8, too")
    parser.add_argument("--no-conv3d", action="store_true", help="no convolutions over three axes")
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    arguments = parser.parse_args()
    cases = TINY if arguments.tiny else CASES
    if arguments.only:
        cases = {arguments.only: CASES[arguments.only]}
    seconds = 0.0 if arguments.tiny else arguments.rounds
    precisions = [*(["bfloat16"] if has_bfloat16() else []), *(["int8"] if arguments.int8 else [])]
    table = Table(
        "model", "layers", "export s", "peak MB", "runtime", "deviation", "ms", "ratio",
        "of full", "over FLOPs", "MB", "run MB",
        title=f"batch 1, {torch.get_num_threads()} threads of {processor()}, "
        f"torch {torch.__version__}",
    )  # fmt: skip
    console = Console(width=140)
    for name, case in cases.items():
        with console.status(name):
            lines = [*rows(name, case, not arguments.no_conv3d, precisions, seconds)]
        for line in lines:
            table.add_row(*line)
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
