"""Exported models beside torch: how close, how fast, and what exporting takes.

``python benchmarks/deploy.py [--rounds SECONDS] [--only NAME] [--no-conv3d] [--tiny]``

Every architecture, full and without the layers that Table 1 drops (here the last ones but one), is
exported for ONNX Runtime and OpenVINO in a process of its own. Prints a table: seconds and peak
memory of exporting, over what the model took before; the median latency of a clip, torch as
vitprune runs it and both runtimes in turns; and the largest deviation of a logit from torch's on
four clips of noise, in float32. ``--no-conv3d`` exports without convolutions over three axes.
``--tiny`` shows in seconds that it works: small models, five turns, no meaning.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table

from vitprune.deploy import export
from vitprune.deploy.description import Description
from vitprune.deploy.timing import processor
from vitprune.models import build_model
from vitprune.pruning import drop_layers
from vitprune.training import VideoClassifier

FORMATS = ("onnx", "openvino")
CLASSES = 9


@dataclass(frozen=True)
class Case:
    """A model by name, and how many layers are dropped."""

    name: str
    variant: str
    k: int


CASES = {
    "TimeSformer base": Case("timesformer", "base", 3),
    "Video Swin-T": Case("video_swin", "t", 3),
    "MViT v2-S": Case("mvit", "v2_s", 5),
    "VideoMAE base": Case("videomae", "base", 3),
}
TINY = {
    "TimeSformer tiny": Case("timesformer", "tiny", 11),
    "Video Swin tiny": Case("video_swin", "tiny", 22),
}


def classifier_of(case: Case, dropped: int) -> VideoClassifier:
    """A model with weights of no meaning, without ``dropped`` of its layers."""
    torch.manual_seed(0)
    model = build_model(case.name, case.variant, num_classes=CLASSES)
    if dropped:
        model = drop_layers(model, model.layers[-1 - dropped : -1])
    settings = {"num_frames": model.spec.num_frames, "image_size": model.spec.image_size}
    return VideoClassifier(model, [f"class {i}" for i in range(CLASSES)], settings)


def exported(case: Case, dropped: int, conv3d: bool, seconds: float) -> tuple[Description, float]:
    """What is known of the bundle, and the peak memory of exporting in MB."""
    classifier = classifier_of(case, dropped)
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    before = _resident("VmRSS")
    with TemporaryDirectory() as directory:
        bundle = export(
            classifier, Path(directory) / "bundle", FORMATS, conv3d=conv3d, seconds=seconds
        )
        return bundle.description, _resident("VmHWM") - before


def _resident(field: str) -> float:
    """Resident memory of this process in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def row(name: str, case: Case, dropped: int, conv3d: bool, seconds: float) -> Sequence[str]:
    """A line of the table, measured in a fresh process."""
    context = get_context("forkserver")  # which has loaded torch, and computed nothing
    context.set_forkserver_preload(["vitprune.launch.commands", "vitprune.models"])
    with ProcessPoolExecutor(1, context) as process:
        found, peak = process.submit(exported, case, dropped, conv3d, seconds).result()
    torch_row, *others = found.measured
    cells = [f"{torch_row['latency_ms']:.3g}"]
    for one in others:
        ratio = torch_row["latency_ms"] / one["latency_ms"]
        cells += [f"{one['deviation']:.0e}", f"{one['latency_ms']:.3g}", f"{ratio:.2f}"]
    what = f"without {dropped} layers" if dropped else "full"
    return [name, what, f"{found.seconds:.0f}", f"{peak:.0f}", *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=float, default=15.0, help="seconds of turns, per runtime")
    parser.add_argument("--only", choices=CASES, help="one model")
    parser.add_argument("--no-conv3d", action="store_true", help="no convolutions over three axes")
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    arguments = parser.parse_args()
    cases = TINY if arguments.tiny else CASES
    if arguments.only:
        cases = {arguments.only: CASES[arguments.only]}
    seconds = 0.0 if arguments.tiny else arguments.rounds
    table = Table(
        "model", "layers", "export s", "peak MB", "torch ms",
        "onnx: deviation", "ms", "ratio", "openvino: deviation", "ms", "ratio",
        title=f"batch 1, float32, {torch.get_num_threads()} threads of {processor()}, "
        f"torch {torch.__version__}",
    )  # fmt: skip
    console = Console(width=140)
    for name, case in cases.items():
        for dropped in (case.k,) if arguments.tiny else (0, case.k):
            with console.status(f"{name}, {dropped} dropped"):
                cells = row(name, case, dropped, not arguments.no_conv3d, seconds)
            table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    main()
