"""Scoring in bfloat16 beside float32, of every scope: how fast, and which units it would drop.

``python benchmarks/scoring_bf16.py [--ckpt FILE] [--data DIR] [--clips N] [--full NAME] [--tiny]``

The units of a fine-tuned checkpoint are scored on N validation clips of a dataset in the layout of
DAI, in float32 and under autocast to bfloat16, one after the other by batches, so that whatever
else the machine does strikes both alike. Prints seconds of each, their ratio, and how many of the
quarter of the units that are lowest by R in float32 are not among as many in bfloat16. With
``--full`` it is a model of real size with random weights and clips: seconds alone mean something.
``--tiny`` shows in seconds that it works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from vitprune.data import DAIDataModule
from vitprune.deploy.timing import processor
from vitprune.importance import SCOPES, RelevanceScores, Scores, units_of
from vitprune.importance.accumulate import ABLATION_VALUES
from vitprune.importance.engine import evaluating
from vitprune.importance.measures import ablation
from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.training import VideoClassifier

FULL = {"mvit": "v2_s", "video_swin": "t", "timesformer": "base"}
Batches = Sequence[Mapping[str, Any]]


def made_up(model: VideoTransformer, count: int, size: int) -> Batches:
    """Batches of random clips and labels."""
    spec = model.spec
    shape = (size, 3, spec.num_frames, spec.image_size, spec.image_size)
    return [
        {
            "clips": torch.randn(shape),
            "label": torch.randint(spec.num_classes, (size,)),
            "video": torch.arange(size) + size * number,
        }
        for number in range(count)
    ]


def loaded(ckpt: str, data: str, clips: int) -> tuple[VideoTransformer, Batches]:
    """The model of a checkpoint, and so many validation clips."""
    classifier = VideoClassifier.load(ckpt).eval()
    module = DAIDataModule(root=data, num_workers=0, store=False, **classifier.clip_settings)
    module.prepare_data()
    module.setup()
    batches = module.loader("val", share=True, most=clips)
    return classifier.model, [{**batch, "clips": batch["clips"].flatten(0, 1)} for batch in batches]


def scored(model: VideoTransformer, batches: Batches, scope: str) -> Iterator[tuple[Scores, float]]:
    """Scores and seconds, in float32 and in bfloat16."""
    units = units_of(model, scope)
    contexts = [
        partial(torch.autocast, "cpu", torch.bfloat16, enabled=enabled) for enabled in (False, True)
    ]
    gathered = [RelevanceScores(units, ABLATION_VALUES) for _ in contexts]
    seconds = [0.0 for _ in contexts]
    with evaluating(model):
        for batch in batches:
            for place, context in enumerate(contexts):
                start = time.perf_counter()
                with context():
                    full, values = ablation(model, batch["clips"], batch["label"], units, None)
                seconds[place] += time.perf_counter() - start
                gathered[place].update(batch["video"], batch["label"], full.argmax(-1), values)
    yield from zip((one.compute() for one in gathered), seconds, strict=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ckpt", default="runs/train/demo_dai/mvit/best.ckpt")
    parser.add_argument("--data", default="data/demo_dai")
    parser.add_argument("--clips", type=int, default=204)
    parser.add_argument("--full", choices=FULL, help="a model of real size, random weights")
    parser.add_argument("--tiny", action="store_true", help="random weights: seconds, no meaning")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.tiny:
        model = build_model("timesformer", "tiny", num_classes=3, num_frames=2, image_size=32)
        batches = made_up(model, 1, 2)
    elif arguments.full:
        model = build_model(arguments.full, FULL[arguments.full], num_classes=17)
        batches = made_up(model, arguments.clips, 1)
    else:
        model, batches = loaded(arguments.ckpt, arguments.data, arguments.clips)
    clips = sum(len(batch["label"]) for batch in batches)
    spec = model.spec
    table = Table(
        "scope", "units", "float32 (s)", "bfloat16 (s)", "times faster", "lowest quarter", "others",
        title=f"{spec.name} {spec.variant}, {clips} clips, {torch.get_num_threads()} threads of "
        f"{processor()}, torch {torch.__version__}",
    )  # fmt: skip
    for scope in SCOPES:
        (wide, slow), (narrow, fast) = scored(model, batches, scope)
        k = max(1, len(wide.units) // 4)
        others = {*wide.lowest(k)} - {*narrow.lowest(k)}
        table.add_row(
            scope, str(len(wide.units)), f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.2f}",
            str(k), str(len(others)),
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
