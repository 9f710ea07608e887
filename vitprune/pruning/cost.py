"""What a model costs: parameters, checkpoint size, FLOPs and latency."""

from __future__ import annotations

import copy
import io
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitprune.importance.engine import Autocast
from vitprune.models.chain import VideoTransformer


@dataclass(frozen=True)
class Cost:
    """The cost of one model on one clip."""

    parameters: int
    checkpoint_bytes: int
    """Of the weights as ``torch.save`` writes them."""
    flops: int
    """Floating-point operations of a forward; a multiply-add is two."""
    latency_ms: float
    """Median wall-clock time of a forward."""


def count_flops(model: VideoTransformer, clip: Tensor) -> int:
    """Floating-point operations of one forward of ``clip`` [1, 3, T, H, W].

    A multiply-add counts as two. Counted on the ``meta`` device, where nothing is computed, and
    with attention in its unfused form, so that the figure is the same on every machine.
    """
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        copy.deepcopy(model).to("meta")(clip.to("meta"))
    return counter.get_total_flops()


def latencies(
    models: Sequence[VideoTransformer],
    clips: Tensor | Sequence[Tensor],
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 2.0,
    least: int = 5,
) -> list[float]:
    """Median milliseconds of a forward for each model, of one clip for all or of one for each.

    The models take turns, so that whatever else the machine does strikes all of them alike. It
    goes on for about ``seconds``, and for ``least`` turns in any case. ``autocast`` gives the
    context of each forward, for mixed precision.
    """
    times: list[list[float]] = [[] for _ in models]
    every = _one_each(models, clips)
    with torch.inference_mode():
        for model, clip in zip(models, every, strict=True):
            with autocast():
                model(clip)
        end = time.perf_counter() + seconds
        while len(times[0]) < least or time.perf_counter() < end:
            for model, clip, taken in zip(models, every, times, strict=True):
                wait_for(clip)
                start = time.perf_counter()
                with autocast():
                    model(clip)
                wait_for(clip)
                taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def costs(
    models: Sequence[VideoTransformer],
    clips: Tensor | Sequence[Tensor],
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 2.0,
) -> list[Cost]:
    """The cost of each model on a clip [1, 3, T, H, W], one for all or one for each, measured side
    by side in eval mode for about so many ``seconds``."""
    training = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        found = latencies(models, clips, autocast, seconds=seconds)
        return [
            replace(counted(model, clip), latency_ms=latency)
            for model, clip, latency in zip(models, _one_each(models, clips), found, strict=True)
        ]
    finally:
        for model, mode in zip(models, training, strict=True):
            model.train(mode)


def _one_each(models: Sequence[object], clips: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    """The clip of each model."""
    return [clips] * len(models) if isinstance(clips, Tensor) else clips


def counted(model: VideoTransformer, clip: Tensor, *, flops: bool = True) -> Cost:
    """The cost of a model on ``clip`` [1, 3, T, H, W] without its latency, which is nan.

    Without ``flops``, which take a forward to count, these are 0.
    """
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        checkpoint_bytes=_saved_bytes(model),
        flops=count_flops(model, clip) if flops else 0,
        latency_ms=float("nan"),
    )


def _saved_bytes(model: VideoTransformer) -> int:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell()


def wait_for(clip: Tensor) -> None:
    """Until all that was asked of the clip's device is done."""
    if clip.is_cuda:
        torch.cuda.synchronize(clip.device)
