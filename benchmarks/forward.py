"""Our forward and backward passes beside torchvision's and transformers', in one run.

``python benchmarks/forward.py [--device cpu|cuda] [--rounds N] [--only NAME] [--compile]``

Both sides have the same weights where that matters and see the same clip (batch 1, float32). They
take turns, each measured in a process of its own for peak memory. Prints a table that compares
them: the median of the turns, theirs over ours, and peak memory over what the weights take. And one
of what can be asked of ours, against plain float32: the relative error and the speed of bfloat16
autocast, the speed and the peak memory of a forward and backward with gradient checkpointing, and
with ``--compile`` the speed of both with ``torch.compile`` and the seconds that compiling took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # compiling is timed, too

# isort: off
import vitprune.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vitprune.models import VideoTransformer, build_model

Step = Callable[[nn.Module, Tensor], object]


@dataclass(frozen=True)
class Case:
    """One model: ours by name, and how to build theirs."""

    name: str
    variant: str
    shape: tuple[int, int, int]
    theirs: Callable[[], nn.Module]


def _torchvision(name: str) -> nn.Module:
    import torchvision.models.video

    return getattr(torchvision.models.video, name)()


class _Transformers(nn.Module):
    """transformers' TimeSformer, taking clips as ours does."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        self.model = TimesformerForVideoClassification(TimesformerConfig(num_labels=400))

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.transpose(1, 2)).logits


CASES = {
    "Video Swin-T": Case("video_swin", "t", (32, 224, 224), lambda: _torchvision("swin3d_t")),
    "MViT v2-S": Case("mvit", "v2_s", (16, 224, 224), lambda: _torchvision("mvit_v2_s")),
    "MViT v1-B": Case("mvit", "v1_b", (16, 224, 224), lambda: _torchvision("mvit_v1_b")),
    "TimeSformer base": Case("timesformer", "base", (8, 224, 224), _Transformers),
}


def _build(case: Case, side: str, device: str) -> tuple[nn.Module, Tensor]:
    """``side``: ours, theirs, or ours with gradient checkpointing."""
    torch.manual_seed(0)
    model = case.theirs() if side == "theirs" else build_model(case.name, case.variant)
    if isinstance(model, VideoTransformer):
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


def _peak(name: str, side: str, device: str, step: str = "_forward") -> str:
    """Peak memory of a step over what was taken before it, in MB, in a fresh process."""
    code = f"import forward; forward.print_peak({name!r}, {side!r}, {device!r}, {step!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sys.path[0], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[-1]


def print_peak(name: str, side: str, device: str, step: str) -> None:
    """Prints the peak in MB; runs in a process of its own."""
    model, clip = _build(CASES[name], side, device)
    run = {"_forward": _forward, "_backward": _backward}[step]
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run(model, clip)
        print(f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f}")
        return
    Path("/proc/self/clear_refs").write_text("5")  # building took more: start the peak anew
    before = _resident("VmRSS")
    run(model, clip)
    print(f"{_resident('VmHWM') - before:.0f}")


def _resident(field: str) -> float:
    """Resident memory of this process in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def _compare(name: str, rounds: int, device: str) -> list[str]:
    """Ours beside theirs."""
    (ours, clip), (theirs, _) = (_build(CASES[name], side, device) for side in ("ours", "theirs"))
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
    return [*columns, *(_peak(name, side, device) for side in ("ours", "theirs"))]


def _options(name: str, rounds: int, device: str, compiling: bool) -> list[str]:
    """Ours with what can be asked of it, beside ours in plain float32."""
    case = CASES[name]
    model, clip = _build(case, "ours", device)
    full, half = _forward(model, clip), _bf16(model, clip).float()
    columns = [f"{float((full - half).norm() / full.norm()):.1e}"]

    def speed(step: Step, other: nn.Module, other_step: Step) -> str:
        steps = {"plain": partial(step, model, clip), "other": partial(other_step, other, clip)}
        taken = _medians(steps, rounds, device)
        return f"{taken['plain'] / taken['other']:.2f}"

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
    peaks = [_peak(name, side, device, "_backward") for side in ("ours", "checkpointing")]
    return [*columns[:3], *peaks, *columns[3:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, help="one model")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    arguments = parser.parse_args()
    rounds, device = arguments.rounds, arguments.device
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores"
    comparison = Table(
        "model", "forward s", "theirs", "ratio", "fwd+bwd s", "theirs", "ratio", "peak MB",
        "theirs", title=f"batch 1, float32, {where}, torch {torch.__version__}",
    )  # fmt: skip
    options = Table(
        "model", "bf16 error", "bf16 speed", "checkpointing: speed", "peak MB without", "with",
        *(["compile: forward", "fwd+bwd", "compiling s"] if arguments.compile else []),
        title="ours against ours in plain float32; checkpointing: forward and backward",
    )  # fmt: skip
    console = Console(width=120)
    for name in [arguments.only] if arguments.only else CASES:
        with console.status(name):
            comparison.add_row(name, *_compare(name, rounds, device))
            options.add_row(name, *_options(name, rounds, device, arguments.compile))
    console.print(comparison)
    console.print(options)


if __name__ == "__main__":
    main()
