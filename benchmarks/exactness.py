"""How exact reuse is at full size: logits without each unit, ours against running the whole model.

For every full-size model and scope: the largest difference between the two over all classes, with
the clip alone and as one of two clips that go through stream by stream. The weights are random,
scaled so that logits are of order one and units move them. Heads and neurons: one of every branch,
another one in each; of Video Swin-B every fourth unit. ``python benchmarks/exactness.py`` takes
twenty minutes on two cores and ends with an error if a difference is above 1e-5; ``--tiny`` shows
in seconds that it works.
"""

from __future__ import annotations

import argparse
import sys

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from importance import without_parts
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from vitprune.importance import SCOPES, Unit, ablate, units_of
from vitprune.models import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.models.places import places

MODELS = (
    ("timesformer", "base", 1),
    ("video_swin", "t", 1),
    ("video_swin", "b", 4),
    ("mvit", "v1_b", 1),
    ("mvit", "v2_s", 1),
)
"""Name, variant, and every how many-th unit is looked at."""
TINY = (("timesformer", "tiny", 5), ("video_swin", "tiny", 12), ("mvit", "tiny", 7))
SMALL_CLIP = {"num_frames": 4, "image_size": 32}
ALLOWED = 1e-5


def scaled(model: VideoTransformer) -> VideoTransformer:
    """Random weights with which what every layer adds is about as large as what it is added to."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.data = noise * parameter[0].numel() ** -0.5
        else:
            parameter.data = 0.1 * noise + name.endswith("weight")
    return model.eval()


def silenced(model: VideoTransformer, clip: Tensor, unit: Unit) -> Tensor:
    """Logits of a whole forward pass in which hooks put the unit out of action."""
    if unit.number is not None:
        handles = [hook() for hook in without_parts(model, [unit])]
    else:
        handles = [
            branch.register_forward_hook(lambda branch, args, output: branch.skip(*args))
            for branch in places(model)[unit].branches
        ]
    logits = model(clip)
    for handle in handles:
        handle.remove()
    return logits


def chosen(model: VideoTransformer, scope: str, step: int) -> list[Unit]:
    """Every ``step``-th unit; of each branch's parts only one, another in each."""
    units = units_of(model, scope)
    if scope in ("head", "neurons"):
        of_branch: dict[tuple[int, str], list[Unit]] = {}
        for unit in units:
            of_branch.setdefault((unit.layer, unit.branch), []).append(unit)
        units = [parts[i % len(parts)] for i, parts in enumerate(of_branch.values())]
    return units[::step]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    tiny = parser.parse_args().tiny
    table = Table(title=f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32")
    for heading in ("model", "scope", "units", "logits' spread", "a unit moves them by"):
        table.add_column(heading)
    table.add_column("one clip, differs by")
    table.add_column("two clips, stream by stream")
    worst = 0.0
    cases = [(*model, scope) for model in (TINY if tiny else MODELS) for scope in SCOPES]
    for name, variant, step, scope in track(cases, "Comparing", console=Console(stderr=True)):
        model = scaled(build_model(name, variant, **(SMALL_CLIP if tiny else {})))
        spec = model.spec
        clips = torch.randn(
            2, 3, spec.num_frames, spec.image_size, spec.image_size,
            generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
        units = chosen(model, scope, step)
        with torch.inference_mode():
            expected = torch.cat([silenced(model, clips[:1], unit) for unit in units])
            full = model(clips[:1])
        alone = ablate(model, clips[:1], scope, units=units).ablated[:, 0]
        both = ablate(model, clips, scope, units=units, max_streams=1).ablated[:, 0]
        differences = [(found - expected).abs().max().item() for found in (alone, both)]
        worst = max(worst, *differences)
        moves = (expected - full).abs().amax(1).median().item()
        table.add_row(
            f"{name} {spec.variant}", scope, str(len(units)), f"{full.std().item():.2f}",
            f"{moves:.2f}", *(f"{difference:.0e}" for difference in differences),
        )  # fmt: skip
    Console().print(table)
    if worst > ALLOWED:
        sys.exit(f"the largest difference, {worst:.1e}, is above {ALLOWED:.0e}")


if __name__ == "__main__":
    main()
