"""Our forward and backward passes beside torchvision's and transformers', in one run.

``python benchmarks/forward.py [--device cpu|cuda] [--rounds N] [--only NAME] [--compile] [--tiny]``

Both sides have the same weights where that matters and see the same clip (batch 1, float32). They
take turns, each measured in a process of its own for peak memory. Prints a table that compares
them: the median of the turns, theirs over ours, and peak memory over what the weights take. And one
of what can be asked of ours, against plain float32: the relative error and the speed of bfloat16
autocast, and its speed with torch's fused attention, which is the same wherever ours takes that,
too; the speed and the peak memory of a forward and backward with gradient checkpointing, and with
``--compile`` the speed of both with ``torch.compile`` and the seconds that compiling took.
``--tiny`` shows in seconds that it works: small models, one turn, no meaning.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # compiling is timed, too

# isort: off
import vitprune.launch.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vitprune.models import attention, build_model

Step = Callable[[nn.Module, Tensor], object]


@dataclass(frozen=True)
class Case:
    """One model: ours by name, and how to build theirs."""

    name: str
    variant: str
    shape: tuple[int, int, int]
    theirs: Callable[[bool], nn.Module]
    """Takes whether to build its first layers only, for clips of ``TINY``."""


TINY = (8, 64, 64)


def _swin3d_t(tiny: bool) -> nn.Module:
    from torchvision.models import video

    if not tiny:
        return video.swin3d_t()
    return video.SwinTransformer3d(
        [2, 4, 4], embed_dim=96, depths=[2], num_heads=[3], window_size=[8, 7, 7]
    )


def _mvit(name: str, tiny: bool) -> nn.Module:
    from torchvision.models import video

    if not tiny:
        return getattr(video, name)()
    # Its builders take no size, but what they build it from does.
    with patch.object(video.mvit, "_mvit", lambda weights, progress, **config: config):
        config = {"rel_pos_embed": False, "proj_after_attn": False, **getattr(video, name)()}
    config["block_setting"] = config["block_setting"][:2]
    return video.MViT(**config | {"temporal_size": TINY[0], "spatial_size": TINY[1:]})


class _Transformers(nn.Module):
    """transformers' TimeSformer, taking clips as ours does."""

    def __init__(self, tiny: bool) -> None:
        super().__init__()
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        few = {"num_frames": TINY[0], "image_size": TINY[1], "num_hidden_layers": 1}
        config = TimesformerConfig(num_labels=400, **(few if tiny else {}))
        self.model = TimesformerForVideoClassification(config)

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.transpose(1, 2)).logits


CASES = {
    "Video Swin-T": Case("video_swin", "t", (32, 224, 224), _swin3d_t),
    "MViT v2-S": Case("mvit", "v2_s", (16, 224, 224), partial(_mvit, "mvit_v2_s")),
    "MViT v1-B": Case("mvit", "v1_b", (16, 224, 224), partial(_mvit, "mvit_v1_b")),
    "TimeSformer base": Case("timesformer", "base", (8, 224, 224), _Transformers),
}


def _build(case: Case, side: str, device: str) -> tuple[nn.Module, Tensor]:
    """``side``: ours, theirs, or ours with gradient checkpointing."""
    torch.manual_seed(0)
    if side == "theirs":
        model = case.theirs(case.variant == "tiny")
    else:
        model = build_model(case.name, case.variant)
        model.checkpointing = side == "checkpointing"
    return model.eval().to(device), torch.randn(1, 3, *case.shape, device=device)


def _seconds(step: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _forward(model: nn.Module, clip: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(clip)


def _backward(model: nn.Module, clip: Tensor) -> None:
    model(clip).sum().backward()
    model.zero_grad()


def _bf16(model: nn.Module, clip: Tensor) -> Tensor:
    with torch.autocast(clip.device.type, torch.bfloat16):
        return _forward(model, clip)


def _medians(
    steps: Mapping[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, float]:
    """Median seconds of each step; they take turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            seconds = _seconds(step, device)
            if turn:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def _peak(case: Case, side: str, device: str, step: Step) -> str:
    """Peak memory of a step over what was taken before it, in MB, in a fresh process."""
    context = get_context("forkserver")  # which has loaded torch, and computed nothing
    context.set_forkserver_preload(["vitprune.launch.commands", "vitprune.models"])
    with context.Pool(1) as process:
        return f"{process.apply(_megabytes, (case, side, device, step)):.0f}"


def _megabytes(case: Case, side: str, device: str, step: Step) -> float:
    model, clip = _build(case, side, device)
    if device == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(model, clip)
        return (torch.cuda.max_memory_allocated() - held) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # building took more: start the peak anew
    before = _resident("VmRSS")
    step(model, clip)
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    """Resident memory of this process in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def _compare(case: Case, rounds: int, device: str) -> list[str]:
    """Ours beside theirs."""
    (ours, clip), (theirs, _) = (_build(case, side, device) for side in ("ours", "theirs"))
    columns = []
    for step, turns in ((_forward, rounds), (_backward, max(1, rounds // 2))):
        taken = _medians(
            {"ours": partial(step, ours, clip), "theirs": partial(step, theirs, clip)},
            turns,
            device,
        )
        own, other = taken["ours"], taken["theirs"]
        columns += [f"{own:.3f}", f"{other:.3f}", f"{other / own:.2f}"]
    del ours, theirs
    return [*columns, *(_peak(case, side, device, _forward) for side in ("ours", "theirs"))]


def _options(case: Case, rounds: int, device: str, compiling: bool) -> list[str]:
    """Ours with what can be asked of it, beside ours in plain float32."""
    model, clip = _build(case, "ours", device)
    full, half = _forward(model, clip), _bf16(model, clip).float()
    columns = [f"{float((full - half).norm() / full.norm()):.1e}"]

    def speed(step: Step, other: nn.Module, other_step: Step) -> str:
        steps = {"plain": partial(step, model, clip), "other": partial(other_step, other, clip)}
        taken = _medians(steps, rounds, device)
        return f"{taken['plain'] / taken['other']:.2f}"

    columns.append(speed(_forward, model, _bf16))
    with patch.object(attention, "_better_in_parts", lambda q, k: False):
        columns.append(speed(_forward, model, _bf16))
    checkpointed, _ = _build(case, "checkpointing", device)
    columns.append(speed(_backward, checkpointed, _backward))
    del checkpointed
    if compiling:
        compiled, _ = _build(case, "ours", device)
        compiled.compile(dynamic=False)
        spent = 0.0
        for step in (_forward, _backward):
            spent += _seconds(partial(step, compiled, clip), device)
            columns.append(speed(step, compiled, step))
        columns.append(f"{spent:.0f}")
        del compiled
    peaks = [_peak(case, side, device, _backward) for side in ("ours", "checkpointing")]
    return [*columns[:4], *peaks, *columns[4:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, help="one model")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--tiny", action="store_true", help="small models: seconds, no meaning")
    arguments = parser.parse_args()
    cases = dict(CASES)
    if arguments.tiny:
        cases = {name: replace(case, variant="tiny", shape=TINY) for name, case in CASES.items()}
    rounds, device = 1 if arguments.tiny else arguments.rounds, arguments.device
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores"
    comparison = Table(
        "model", "forward s", "theirs", "ratio", "fwd+bwd s", "theirs", "ratio", "peak MB",
        "theirs", title=f"batch 1, float32, {where}, torch {torch.__version__}",
    )  # fmt: skip
    options = Table(
        "model", "bf16 error", "bf16 speed", "fused attention", "checkpointing: speed",
        "peak MB without", "with",
        *(["compile: forward", "fwd+bwd", "compiling s"] if arguments.compile else []),
        title="ours against ours in plain float32; checkpointing: forward and backward",
    )  # fmt: skip
    console = Console(width=120)
    for name in [arguments.only] if arguments.only else CASES:
        with console.status(name):
            comparison.add_row(name, *_compare(cases[name], rounds, device))
            options.add_row(name, *_options(cases[name], rounds, device, arguments.compile))
    console.print(comparison)
    console.print(options)


if __name__ == "__main__":
    main()
