"""What reuse saves: scoring units, ours against one forward pass per ablated unit through hooks.

Every row lets both sides score the same units on the same clip, in turns, and compares their
logits. The last one has them do a sixth of Table 1, scoring and evaluation: for three metrics and
two directions, score the layers on a clip, drop three, and answer another clip with the full and
the pruned model. Run alone, on two cores, float32: ``python benchmarks/importance.py``. ``--tiny``
shows in seconds that it works; ``--every-head`` scores all 288 heads of TimeSformer instead of one
of each attention (a quarter of an hour for the hooks).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from vitprune.importance import (
    DIRECTIONS,
    METRICS,
    ScoreStore,
    Unit,
    ablate,
    entry_name,
    relevance,
    score,
    units_of,
)
from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.models.places import blocks_of, places
from vitprune.pruning import drop_layers

Score = Callable[[], Tensor]
"""Gives the full model's logits and those without each unit, [1 + U, num_classes]."""


@dataclass(frozen=True)
class Case:
    """One row: what both sides do."""

    name: str
    least: float
    """How many times faster ours has to be."""
    hooks: Score
    ours: Score
    forward: Score
    """What the hooks run once for every unit."""
    model: VideoTransformer
    scope: str
    units: Sequence[Unit]
    clip: Tensor
    repeats: int = 1
    """How often the hooks score what ours scores once; such a long row has one round."""
    evaluate: Callable[[], object] = lambda: None
    """What both sides compute besides scores."""


def hooked(
    forward: Score, hooks: Iterable[Callable[[], torch.utils.hooks.RemovableHandle]]
) -> Score:
    """A straightforward script's way: for each unit hook the model, run all of it, unhook."""

    def run() -> Tensor:
        logits = [forward()]
        for hook in hooks:
            handle = hook()
            logits.append(forward())
            handle.remove()
        return torch.cat(logits)

    return run


def reused(model: VideoTransformer, clip: Tensor, scope: str, units: Sequence[Unit]) -> Score:
    """Our way."""

    def run() -> Tensor:
        ablation = ablate(model, clip, scope, units=units)
        return torch.cat([ablation.full[None], ablation.ablated])[:, 0]

    return run


def without_layers(model: VideoTransformer) -> list:
    """Hooks that put each block's shortcut in the place of its output."""

    def hook(block: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return block.register_forward_hook(lambda module, args, out: module.shortcut(*args))

    return [lambda block=block: hook(block) for block in blocks_of(model)]


def without_parts(model: VideoTransformer, units: Sequence[Unit]) -> list:
    """Hooks that zero each head's, or group's, slice of the input of its last linear layer."""
    there = places(model)

    def hook(unit: Unit) -> torch.utils.hooks.RemovableHandle:
        branch, number = there[unit].parted, unit.number

        def zero(module: nn.Module, args: tuple[Tensor]) -> Tensor:
            x = args[0].clone()
            x[..., branch.columns(number)] = 0
            return x

        return branch.last.register_forward_pre_hook(zero)

    return [lambda unit=unit: hook(unit) for unit in units]


def same_backbone(
    least: float, name: str, variant: str, scope: str = "layer", thin: bool = False
) -> Case:
    """Our own model on both sides; ``thin`` takes one head of each attention only."""
    torch.manual_seed(0)
    model = build_model(name, variant).eval()
    if variant == "tiny":
        model = drop_layers(model, model.layers[4:])
    clip = clip_for(model)
    units = units_of(model, scope)
    if thin:  # another head in every attention, so that no head's place in it matters
        units = [unit for unit in units if unit.number == unit.layer % 4]
    hooks = without_layers(model) if scope == "layer" else without_parts(model, units)

    def forward() -> Tensor:
        return model(clip)

    title = f"{scope} scores ({len(units)}), {name} {variant}, same backbone"
    ours = reused(model, clip, scope, units)
    return Case(title, least, hooked(forward, hooks), ours, forward, model, scope, units, clip)


def swins(tiny: bool) -> tuple[nn.Module, VideoTransformer]:
    """torchvision's Swin3D-T and ours, with the same weights."""
    torch.manual_seed(0)
    theirs = torchvision.models.video.swin3d_t().eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "swin3d_t.pth"
        torch.save(theirs.state_dict(), file)
        size = {"num_frames": 8, "image_size": 64} if tiny else {}
        return theirs, build_model("video_swin", "t", weights=file, **size).eval()


def layers_of(theirs: nn.Module) -> list[tuple[nn.Sequential, int]]:
    """Where the layers of torchvision's Swin are: each in a stage, at a place."""
    stages = [stage for stage in theirs.features if isinstance(stage, nn.Sequential)]
    return [(stage, i) for stage in stages for i in range(len(stage))]


def skipping(theirs: nn.Module) -> list:
    """Hooks that put each layer's input in the place of its output."""

    def hook(block: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return block.register_forward_hook(lambda module, args, out: args[0])

    return [lambda stage=stage, i=i: hook(stage[i]) for stage, i in layers_of(theirs)]


def torchvisions_swin(least: float, tiny: bool) -> Case:
    """torchvision's Swin3D-T with hooks against ours with the same weights."""
    theirs, model = swins(tiny)
    clip = clip_for(model)

    def forward() -> Tensor:
        return theirs(clip)

    units = units_of(model)
    title = f"layer scores ({len(units)}), video_swin t, against torchvision's swin3d_t"
    return Case(
        title,
        least,
        hooked(forward, skipping(theirs)),
        reused(model, clip, "layer", units),
        forward,
        model,
        "layer",
        units,
        clip,
    )


def six_cells(least: float, tiny: bool, k: int = 3) -> Case:
    """Three metrics x two directions on torchvision's Swin3D-T and on ours, from nothing.

    Both sides give the answers of the full and of each cell's pruned model to the test clip.
    """
    theirs, model = swins(tiny)
    clip, test = clip_for(model), clip_for(model)
    cells = list(itertools.product(METRICS, DIRECTIONS))[: 1 if tiny else None]
    naive_scores = hooked(lambda: theirs(clip), skipping(theirs))

    def naive() -> Tensor:
        answers = []
        for metric, direction in cells:
            full, *ablated = naive_scores()
            ablated = torch.stack(ablated)[:, None]
            target = full.argmax()[None]
            scores = relevance(full[None], ablated, target, metric=metric).mean(1)
            pruned = copy.deepcopy(theirs)
            places = layers_of(pruned)
            for layer in scores.argsort(descending=direction == "highest")[:k].tolist():
                stage, i = places[layer]
                stage[i] = nn.Identity()
            answers += [theirs(test), pruned(test)]
        return torch.cat(answers)

    chosen: list[list[int]] = []

    def ours() -> Tensor:
        answers = []
        chosen.clear()
        with tempfile.TemporaryDirectory() as folder:
            for metric, direction in cells:
                name = entry_name(model, "a random clip", scope="layer")
                scores = ScoreStore(folder).get(name, lambda: score(model, batches, progress=False))
                dropped = [unit.layer for unit in scores.rank(metric, direction)[:k]]
                answers += [model(test), drop_layers(model, dropped)(test)]
                chosen.append(dropped)
        return torch.cat(answers)

    def evaluate() -> None:
        for dropped in chosen:
            model(test)
            drop_layers(model, dropped)(test)

    zero = torch.zeros(1, dtype=torch.long)
    batches = [{"clips": clip, "label": zero, "video": zero}]
    title = f"{len(cells)} cells (score, drop {k}, evaluate), video_swin t, against torchvision's"
    units = units_of(model)
    return Case(
        title,
        least,
        naive,
        ours,
        lambda: theirs(clip),
        model,
        "layer",
        units,
        clip,
        repeats=len(cells),
        evaluate=evaluate,
    )


def clip_for(model: VideoTransformer) -> Tensor:
    """One clip of random pixels, [1, 3, T, H, W]."""
    spec = model.spec
    return torch.randn(1, 3, spec.num_frames, spec.image_size, spec.image_size)


def flops_by_module(run: Score) -> dict[str, int]:
    """Floating-point operations by module; ``Global`` has all. A multiply-add is two.

    Nothing is computed: tensors have shapes only. ``run`` must have run before, as what models
    keep between calls must not be made of such tensors.
    """
    counter = FlopCounterMode(display=False)
    shapes = FakeTensorMode(allow_non_fake_inputs=True)
    with sdpa_kernel(SDPBackend.MATH), shapes, counter:  # it does not know all fused kernels
        run()
    counts = {name: sum(by.values()) for name, by in counter.get_flop_counts().items()}
    return {"Global": 0, **counts}


def least_flops(case: Case) -> int:
    """What scoring needs if nothing is computed twice that is the same: the bound of reuse.

    The full model once, and for every unit what lies behind it.
    """
    root = type(case.model).__name__
    flops = flops_by_module(lambda: case.model(case.clip))

    def of(path: str) -> int:
        return flops.get(f"{root}.{path}", 0)

    behind = flops["Global"] - flops_by_module(lambda: case.model.embed(case.clip).x)["Global"]
    left: dict[nn.Module, int] = {}
    for position, block in enumerate(blocks_of(case.model)):
        path = f"blocks.{position}"
        behind -= of(f"{path}.before")
        for name, branch in block.branches.items():
            behind -= of(f"{path}.branches.{name}")
            left[branch] = behind
    there = places(case.model)
    return flops["Global"] + sum(left[there[unit].branches[-1]] for unit in case.units)


def peak_bytes(run: Score) -> int:
    """Most bytes that torch held at once for what ``run`` computed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def compare(case: Case, rounds: int) -> tuple[float, float, float]:
    """Median wall-clock seconds of the hooks and of ours, and how far apart their logits are.

    The sides take turns, so that whatever else the machine does strikes both alike.
    """
    times: list[tuple[float, float]] = []
    difference = 0.0
    case.forward()
    for _ in range(rounds):
        start = time.perf_counter()
        theirs = case.hooks()
        middle = time.perf_counter()
        ours = case.ours()
        times.append((middle - start, time.perf_counter() - middle))
        difference = max(difference, (theirs - ours).abs().max().item())
    hooks, own = (statistics.median(side) for side in zip(*times, strict=True))
    return hooks, own, difference


def row(case: Case, rounds: int) -> list[str]:
    """Runs both sides of a case.

    Raises:
        AssertionError: their logits differ.
    """
    hooks, ours, difference = compare(case, rounds if case.repeats == 1 else 1)
    assert difference < 1e-4, f"{case.name}: logits differ by {difference:.2g}"
    once = flops_by_module(case.forward)["Global"]
    evaluation = flops_by_module(case.evaluate)["Global"]
    hooks_flops = once * (1 + len(case.units)) * case.repeats + evaluation
    scoring = reused(case.model, case.clip, case.scope, case.units)
    ours_flops = flops_by_module(scoring)["Global"] + evaluation
    bound = hooks_flops / (least_flops(case) + evaluation)
    weights = sum(p.numel() * p.element_size() for p in case.model.parameters())
    plain, peak = (weights + peak_bytes(run) for run in (case.forward, case.ours))
    ratio = hooks / ours
    return [
        case.name,
        f"{hooks:.2f}",
        f"{ours:.2f}",
        f"{ratio:.2f}",
        f"{case.least:.1f}" + ("" if ratio >= case.least else " (missed)"),
        f"{hooks_flops / 1e9:.0f}",
        f"{ours_flops / 1e9:.0f}",
        f"{hooks_flops / ours_flops:.2f}",
        f"{bound:.2f}",
        f"{plain / 2**20:.0f}",
        f"{peak / 2**20:.0f}",
        f"{difference:.0e}",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; tiny: one")
    parser.add_argument("--only", nargs="*", help="rows: swin, mvit, torchvision, heads, cells")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    parser.add_argument("--every-head", action="store_true", help="all heads of TimeSformer")
    options = parser.parse_args()
    tiny = options.tiny
    torch.set_num_threads(1 if tiny else options.threads)
    cases: dict[str, Callable[[], Case]] = {
        "swin": lambda: same_backbone(1.7, "video_swin", "tiny" if tiny else "t"),
        "mvit": lambda: same_backbone(1.7, "mvit", "tiny" if tiny else "v2_s"),
        "torchvision": lambda: torchvisions_swin(4.0, tiny),
        "heads": lambda: same_backbone(
            1.8, "timesformer", "tiny" if tiny else "base", "head", thin=not options.every_head
        ),
        "cells": lambda: six_cells(8.0, tiny),
    }
    table = Table(title="Scoring by hooks, one forward pass per unit, and by reuse; one clip")
    for heading in (
        "case",
        "hooks (s)",
        "ours (s)",
        "times faster",
        "at least",
        "hooks GFLOP",
        "ours GFLOP",
        "FLOP ratio",
        "bound of reuse",
        "forward peak (MiB)",
        "ours peak (MiB)",
        "logits differ by",
    ):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for name in options.only or cases:
        with torch.no_grad():
            case = cases[name]()
            figures = row(case, 1 if tiny else options.rounds)
        print(f"{case.name}: {figures[3]} times", file=sys.stderr, flush=True)
        table.add_row(*figures)
    Console(width=None if Console().is_terminal else 200).print(table)


if __name__ == "__main__":
    main()
