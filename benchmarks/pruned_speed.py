"""How much faster a model really gets without a quarter or half of its FLOPs, and as predicted.

``python benchmarks/pruned_speed.py [--rounds SECONDS] [--only NAME] [--tiny]``

From every model layers, heads or groups of neurons are dropped, spread evenly, until so many FLOPs
are gone; where all but one head of every attention are not enough, the row says what is left. The
full and the smaller model take turns (batch 1, random weights). Prints a table: shares of the full
model's FLOPs and of its latency as measured, how much of the ideal speed-up that is (FLOPs' share
over latency's), and the latency that budgets begin with, predicted from what each unit saves, with
how far it is off. In float32, and in bfloat16 autocast where the processor computes in it.
``--tiny`` shows in seconds that it works: small models, five turns, no meaning.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table

from vitprune.deploy.timing import processor
from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.models.places import places, units_of
from vitprune.models.unit import Unit
from vitprune.pruning import drop_units
from vitprune.pruning.cost import counted, latencies
from vitprune.pruning.unit_costs import Autocast, latency_shares, unit_costs, without

MODELS = {"MViT v2-S": ("mvit", "v2_s"), "Video Swin-T": ("video_swin", "t"),
          "TimeSformer base": ("timesformer", "base")}  # fmt: skip
TINY = {"TimeSformer tiny": ("timesformer", "tiny")}
SCOPES = {"layer": "layers", "head": "heads", "neurons": "neurons"}
LEFT = (0.75, 0.5)
"""Shares of the FLOPs that are to be left."""
GOLDEN = 0.618034
COMPUTES_BF16 = ("avx512_bf16", "amx_bf16")
"""What a processor says of itself that computes in bfloat16."""


def spread(model: VideoTransformer, scope: str) -> list[Unit]:
    """All units of a scope but the last of every branch, or of the model, in an order of which
    every beginning is spread over the model."""
    units = units_of(model, scope)
    if scope == "layer":
        return sorted(units, key=lambda unit: unit.layer * GOLDEN % 1)[:-1]
    there = places(model)
    parts = {unit: len(there[unit].parted.numbers) for unit in units}
    order = sorted(units, key=lambda unit: (there[unit].part + 1) / parts[unit])
    return [unit for unit in order if there[unit].part + 1 < parts[unit]]


def precisions() -> dict[str, Autocast]:
    """Those that the processor computes in."""
    found: dict[str, Autocast] = {"float32": nullcontext}
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    if any(flag in flags for flag in COMPUTES_BF16):
        found["bfloat16"] = partial(torch.autocast, "cpu", torch.bfloat16)
    return found


def rows(name: str, variant: str, tiny: bool, seconds: float) -> Iterator[Sequence[str]]:
    """The table's rows of a model."""
    torch.manual_seed(0)
    small = {"num_frames": 4, "image_size": 32} if tiny else {}
    model = build_model(name, variant, **small).eval()
    spec = model.spec
    clip = torch.randn(1, 3, spec.num_frames, spec.image_size, spec.image_size)
    full, saved = counted(model, clip), unit_costs(model, clip)
    for precision, autocast in precisions().items():
        own = latency_shares(model, clip, autocast, seconds=seconds)
        for scope, called in SCOPES.items():
            order = spread(model, scope)
            shares = [
                without(full, saved, order[:k]).flops / full.flops for k in range(len(order) + 1)
            ]
            for left in LEFT:
                k = next((k for k, share in enumerate(shares) if share <= left), None)
                what = f"{100 * (1 - left):.0f} % by {called}"
                if k is None:
                    yield precision, what, f"{shares[-1]:.2f} left", *[""] * 5
                    continue
                smaller = drop_units(model, order[:k])
                before, after = latencies([model, smaller], clip, autocast, seconds=seconds)
                real = after / before
                expected = 1 - sum(own[unit] for unit in order[:k])
                yield (
                    precision, what, str(k), f"{shares[k]:.3f}", f"{real:.3f}",
                    f"{shares[k] / real:.2f}", f"{expected:.3f}",
                    f"{100 * (expected / real - 1):+.1f} %",
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=float, default=20.0, help="seconds of turns, per row")
    parser.add_argument("--only", choices=MODELS, help="one model")
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    arguments = parser.parse_args()
    models = TINY if arguments.tiny else MODELS
    if arguments.only:
        models = {arguments.only: MODELS[arguments.only]}
    seconds = 0.0 if arguments.tiny else arguments.rounds
    table = Table(
        "model", "precision", "FLOPs gone", "units", "FLOPs' share", "latency's",
        "of the ideal speed-up", "predicted", "off by",
        title=f"batch 1, {torch.get_num_threads()} threads of {processor()}, "
        f"torch {torch.__version__}",
    )  # fmt: skip
    console = Console(width=140)
    for title, (name, variant) in models.items():
        with console.status(title):
            for cells in rows(name, variant, arguments.tiny, seconds):
                table.add_row(title, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
