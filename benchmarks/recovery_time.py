"""How long recovery takes beside fine-tuning: steps of both, in turns.

``python benchmarks/recovery_time.py [--size tiny|full] [--rounds N] [--tiny]``

Every model loses two thirds of its layers, in two runs. A step of fine-tuning trains the full model
on a batch with labels; one of distilling runs the full model on it and trains what is left. They
take turns, so that whatever else the machine does strikes both alike. Distilling begins with
bridges of ``recover=linear``, of the kind ``auto``, fitted once to as many clips as there. From
medians and the recipes in ``conf/model`` follows what the whole takes on a training split:
fine-tuning its epochs, distilling a quarter of them. Loading clips, validating and probing the
classifier are left out on all sides; they take longer the more epochs there are. Random weights and
clips. ``--tiny`` shows in seconds that it works, and means nothing.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.pruning import drop_layers
from vitprune.recovery import Distillation, fit_bridges
from vitprune.training import VideoClassifier

MODELS = ("timesformer", "video_swin", "mvit")
CLASSES = 17
SHARE = 0.25
"""Of the recipe's epochs: ``recover.share``."""
TRAINED_ON, FITTED_TO = 1530, 512
"""Clips: of the training split of ``demo_dai``, and ``recover.clips``."""


@dataclass(frozen=True)
class Clips:
    """Random batches of a shape with so many clips in all; the same every time."""

    count: int
    shape: tuple[int, ...]

    def __iter__(self) -> Iterator[Tensor]:
        draw = torch.Generator().manual_seed(0)
        for _ in range(self.count // self.shape[0]):
            yield torch.randn(self.shape, generator=draw)


def recipe(name: str, size: str) -> tuple[str, int]:
    """Variant and epochs, as ``conf/model`` has them."""
    path = Path(__file__).parents[1] / "conf" / "model" / f"{name}.yaml"
    sizes = OmegaConf.load(path)[size]
    return sizes.variant, sizes.epochs


def gone(layers: int) -> list[int]:
    """Two thirds of a model's layers, in two runs."""
    third, half = layers // 3, layers // 2
    return [*range(1, 1 + third), *range(half, half + third)]


def stepping(module: VideoClassifier, clips: Tensor, labels: Tensor) -> Callable[[], object]:
    """One step of training: forward, backward, AdamW."""
    optimizer = torch.optim.AdamW(module.model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        _, loss = module.objective(clips, labels)
        loss.backward()
        optimizer.step()

    return step


def taken(works: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each, in turns."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


def row(name: str, size: str, batch: int, rounds: int, fitted_to: int) -> list[str]:
    """A model's row."""
    variant, epochs = recipe(name, size)
    torch.manual_seed(0)
    full: VideoTransformer = build_model(name, variant, num_classes=CLASSES).eval()
    spec = full.spec
    shape = (batch, 3, spec.num_frames, spec.image_size, spec.image_size)
    clips, labels = torch.randn(shape), torch.randint(CLASSES, (batch,))
    dropped = gone(full.num_layers)
    pruned = drop_layers(full, dropped)
    classes = [str(number) for number in range(CLASSES)]

    def classifier(model: VideoTransformer) -> VideoClassifier:
        return VideoClassifier(copy.deepcopy(model), classes, {})

    student = Distillation(classifier(pruned), full, temperature=4.0)
    tuned, distilled = taken(
        [stepping(one.train(), clips, labels) for one in (classifier(full), student)], rounds
    )
    start = time.perf_counter()
    fit_bridges(pruned, full, Clips(fitted_to, shape))
    bridging = time.perf_counter() - start
    tuning = epochs * TRAINED_ON * tuned / batch
    distilling = ceil(SHARE * epochs) * TRAINED_ON * distilled / batch
    return [
        f"{name} {variant}", f"{len(dropped)} of {full.num_layers}", f"{1e3 * tuned / batch:.1f}",
        f"{1e3 * distilled / batch:.1f}", f"{epochs}, {ceil(SHARE * epochs)}", f"{tuning:.0f}",
        f"{distilling:.0f}", f"{bridging:.0f}",
        f"{(distilling + bridging) / tuning:.2f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="one round: seconds, no meaning")
    arguments = parser.parse_args()
    batch, rounds = (16, arguments.rounds) if arguments.size == "tiny" else (1, arguments.rounds)
    fitted_to = FITTED_TO
    if arguments.tiny:
        batch, rounds, fitted_to = 2, 1, 6
    table = Table(
        "model", "dropped", "fine-tuning (ms a clip)", "distilling", "epochs of each",
        "fine-tuning (s)", "distilling", "bridges", "distilling and bridges / fine-tuning",
        title=f"Steps in turns, batches of {batch}; {TRAINED_ON} clips, bridges {fitted_to}",
    )  # fmt: skip
    for name in MODELS:
        table.add_row(*row(name, arguments.size, batch, rounds, fitted_to))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
