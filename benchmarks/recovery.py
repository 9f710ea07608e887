"""What recovery in closed form takes at real size: seconds, and memory beside that of scoring.

``python benchmarks/recovery.py [--clips N] [--kind full] [--only NAME] [--tiny]``

Every model loses half of its layers, every second one of its middle and a run of them, so that
there are several gaps; bridges are fitted to random clips that are made as they are asked for.
Peaks are the most memory that a process held (``ru_maxrss``), each of scoring, of a forward pass
and of fitting in a process of its own. Random weights. ``--tiny`` shows in seconds that it works,
in one process, and means nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vitprune.importance import ablate
from vitprune.models import build_model
from vitprune.pruning import drop_layers
from vitprune.recovery import fit_bridges

MODELS = {"video_swin": "t", "mvit": "v2_s", "timesformer": "base"}


@dataclass(frozen=True)
class Clips:
    """Random clips, one a batch; the same every time."""

    count: int
    size: tuple[int, int, int]

    def __iter__(self) -> Iterator[Tensor]:
        draw = torch.Generator().manual_seed(0)
        frames, height, width = self.size
        for _ in range(self.count):
            yield torch.randn(1, 3, frames, height, width, generator=draw)


@dataclass(frozen=True)
class Case:
    """A model and what is done with it."""

    name: str
    variant: str
    clips: int
    kind: str
    work: str

    def run(self) -> tuple[float, int, int]:
        """Seconds, bytes at the peak, and how many bridges were fitted."""
        model = build_model(self.name, self.variant, num_classes=17).eval()
        spec = model.spec
        clips = Clips(self.clips, (spec.num_frames, spec.image_size, spec.image_size))
        start, fitted = time.perf_counter(), 0
        if self.work == "forward":
            with torch.inference_mode():
                model(next(iter(clips)))
        elif self.work == "scoring":
            ablate(model, next(iter(clips)))
        else:
            pruned = drop_layers(model, gone(model.num_layers))
            found = fit_bridges(pruned, model, clips, kind=self.kind)
            fitted = len(found.bridges)
        seconds = time.perf_counter() - start
        return seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, fitted


def gone(layers: int) -> list[int]:
    """Half of a model's layers, in several gaps: a run of them, and every second one before."""
    half = layers // 2
    run = list(range(layers - 1 - half // 2, layers - 1))
    alone = [run[0] - 2 * (i + 1) for i in range(half - len(run))]
    return sorted([*run, *(layer for layer in alone if layer > 0)])


def _child(case: Case, pipe: Connection) -> None:
    pipe.send(case.run())


def measured(case: Case) -> tuple[float, int, int]:
    """What a case takes in a process of its own."""
    if case.variant == "tiny":
        return case.run()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(case, theirs))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--kind", default="full")
    parser.add_argument("--only", choices=MODELS, help="one model")
    parser.add_argument("--tiny", action="store_true", help="tiny models: seconds, no meaning")
    arguments = parser.parse_args()
    count = 6 if arguments.tiny else arguments.clips
    table = Table(
        "model", "dropped", "bridges", "seconds", "forward (MB)", "scoring (MB)", "fitting (MB)",
        "fitting / scoring", title=f"Bridges of kind {arguments.kind}, {count} random clips",
    )  # fmt: skip
    for name, variant in MODELS.items():
        if arguments.only not in (None, name):
            continue
        variant = "tiny" if arguments.tiny else variant
        found = {
            work: measured(Case(name, variant, count, arguments.kind, work))
            for work in ("forward", "scoring", "fitting")
        }
        with torch.device("meta"):
            layers = build_model(name, variant).num_layers
        seconds, peak, fitted = found["fitting"]
        table.add_row(
            f"{name} {variant}", f"{len(gone(layers))} of {layers}", str(fitted), f"{seconds:.0f}",
            *(f"{found[work][1] / 1e6:.0f}" for work in ("forward", "scoring", "fitting")),
            f"{peak / found['scoring'][1]:.2f}",
        )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
