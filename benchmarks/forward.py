"""Our forward and backward passes beside torchvision's and transformers', in one run.

``python benchmarks/forward.py [--device cpu|cuda] [--rounds N] [--only NAME]``

Both sides have the same weights where that matters and see the same clip (batch 1, float32). They
take turns, each measured in a process of its own for peak memory. Prints one table: the median of
the turns, theirs over ours; the relative error and the speed of bfloat16 autocast against float32;
peak memory over what the weights take.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# isort: off
import vitprune.commands  # noqa: F401  (sets how OpenMP's threads wait, before torch is loaded)

# isort: on
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vitprune.models import build_model


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
    torch.manual_seed(0)
    model = build_model(case.name, case.variant) if side == "ours" else case.theirs()
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


def _medians(steps: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each step; they take turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            seconds = _seconds(step, device)
            if turn:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def _peak(name: str, side: str, device: str) -> float:
    """Peak memory of one forward over what was taken before it, in MB, in a fresh process."""
    code = f"import forward; forward.print_peak({name!r}, {side!r}, {device!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sys.path[0], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def print_peak(name: str, side: str, device: str) -> None:
    """Prints the peak in MB; runs in a process of its own."""
    model, clip = _build(CASES[name], side, device)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        _forward(model, clip)
        print((torch.cuda.max_memory_allocated() - before) / 1e6)
        return
    Path("/proc/self/clear_refs").write_text("5")  # building took more: start the peak anew
    before = _resident("VmRSS")
    _forward(model, clip)
    print(_resident("VmHWM") - before)


def _resident(field: str) -> float:
    """Resident memory of this process in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, help="one model")
    arguments = parser.parse_args()
    device = arguments.device
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores"
    table = Table(
        "model", "forward s", "theirs", "ratio", "fwd+bwd s", "theirs", "ratio", "bf16 speed",
        "bf16 error", "peak MB", "theirs",
        title=f"batch 1, float32, {where}, torch {torch.__version__}",
    )  # fmt: skip
    console = Console(width=120)
    for name in [arguments.only] if arguments.only else CASES:
        case = CASES[name]
        with console.status(name):
            ours, clip = _build(case, "ours", device)
            theirs, _ = _build(case, "theirs", device)
            steps: dict[str, Callable[[], object]] = {
                "ours": lambda m=ours, c=clip: _forward(m, c),  # type: ignore[misc]
                "theirs": lambda m=theirs, c=clip: _forward(m, c),  # type: ignore[misc]
                "bf16": lambda m=ours, c=clip: _bf16(m, c),  # type: ignore[misc]
            }
            taken = _medians(steps, arguments.rounds, device)
            training = _medians(
                {
                    "ours": lambda m=ours, c=clip: _backward(m, c),  # type: ignore[misc]
                    "theirs": lambda m=theirs, c=clip: _backward(m, c),  # type: ignore[misc]
                },
                max(1, arguments.rounds // 2),
                device,
            )
            full, half = _forward(ours, clip), _bf16(ours, clip).float()
            error = float((full - half).norm() / full.norm())
            del ours, theirs
            table.add_row(
                name,
                f"{taken['ours']:.3f}",
                f"{taken['theirs']:.3f}",
                f"{taken['theirs'] / taken['ours']:.2f}",
                f"{training['ours']:.3f}",
                f"{training['theirs']:.3f}",
                f"{training['theirs'] / training['ours']:.2f}",
                f"{taken['ours'] / taken['bf16']:.2f}",
                f"{error:.1e}",
                f"{_peak(name, 'ours', device):.0f}",
                f"{_peak(name, 'theirs', device):.0f}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
