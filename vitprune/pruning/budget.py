"""Budgets: what a smaller model may cost, and the fewest units to drop so that it costs no more.

Users have a budget rather than a number of layers in mind: 40 ms on this machine, 30 MB on that
one. Parameters, bytes and FLOPs of a candidate are counted. Its latency is predicted from what
each layer takes (:func:`layer_latencies`), and then measured beside the full model's, in turns:
what was measured decides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor

from vitprune.errors import InputError
from vitprune.models.chain import Block, VideoTransformer
from vitprune.pruning.cost import Cost, costs, counted, wait_for

Autocast = Callable[[], AbstractContextManager]


@dataclass(frozen=True)
class Budget:
    """What a model may cost on one clip; None for no limit.

    Attributes:
        latency: as a share of the full model's, in (0, 1].
        latency_ms: in milliseconds, on this machine.
        flops: as a share of the full model's.
        parameters: as a share of the full model's.
        megabytes: of the weights as they are saved, in 10^6 bytes.
    """

    latency: float | None = None
    latency_ms: float | None = None
    flops: float | None = None
    parameters: float | None = None
    megabytes: float | None = None

    def spent(self, cost: Cost, full: Cost) -> dict[str, float]:
        """What a model takes of whatever is limited, in the limit's units."""
        found = {
            "latency": cost.latency_ms / full.latency_ms,
            "latency_ms": cost.latency_ms,
            "flops": cost.flops / full.flops,
            "parameters": cost.parameters / full.parameters,
            "megabytes": cost.checkpoint_bytes / 1e6,
        }
        return {name: found[name] for name in self.limits()}

    def limits(self) -> dict[str, float]:
        """The limits that there are."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    def exceeded(self, cost: Cost, full: Cost) -> dict[str, float]:
        """What of it a model exceeds; empty if it keeps to it."""
        limits = self.limits()
        return {name: x for name, x in self.spent(cost, full).items() if x > limits[name]}

    @property
    def timed(self) -> bool:
        """Whether it limits the latency, which has to be measured."""
        return self.latency is not None or self.latency_ms is not None


@dataclass(frozen=True)
class Fit:
    """How few units must go.

    Attributes:
        k: how many, the first ones of the order.
        cost: of the model without them; latency measured beside the full model's where it is
            limited, else predicted.
        full: the cost of the full model.
        predicted_ms: its latency as predicted; None where latency is not limited.
    """

    k: int
    cost: Cost
    full: Cost
    predicted_ms: float | None

    def described(self, budget: Budget) -> dict[str, Any]:
        """As ``results.json`` has it."""
        spent = budget.spent(self.cost, self.full)
        predicted = {} if self.predicted_ms is None else {"predicted_ms": self.predicted_ms}
        return {"limits": budget.limits(), "spent": spent, **predicted}


def fewest(
    model: VideoTransformer,
    most: int,
    smaller: Callable[[int], VideoTransformer],
    budget: Budget,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 2.0,
) -> Fit:
    """The fewest units to drop so that a model keeps to a budget.

    Args:
        model: full.
        most: how many can go.
        smaller: how many go -> the model without them; more never cost more.
        budget: what it may cost.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: for each measurement of latency.

    Raises:
        InputError: no number of units is enough; it says what can be reached.
    """
    untimed = Budget(**{**asdict(budget), "latency": None, "latency_ms": None})
    full = counted(model, clip)

    def keeps(k: int) -> bool:
        return not untimed.exceeded(counted(smaller(k), clip), full)

    if untimed.limits() and not keeps(most):
        raise _impossible(untimed, most, counted(smaller(most), clip), full)
    least = _bisect(keeps, most) if untimed.limits() else 0
    if not budget.timed:
        return Fit(least, counted(smaller(least), clip), full, None)

    def measured(k: int) -> tuple[Cost, Cost]:
        both = costs([model, smaller(k)], clip, autocast, seconds=seconds)
        return both[0], both[1]

    whole = costs([model], clip, autocast, seconds=seconds)[0]
    predicted = [whole.latency_ms - gone for gone in _gone(model, most, smaller, clip, autocast)]
    limit = min(
        whole.latency_ms * (budget.latency or float("inf")), budget.latency_ms or float("inf")
    )
    k = next((k for k in range(least, most + 1) if predicted[k] <= limit), most)
    tried: dict[int, tuple[Cost, Cost]] = {}
    while True:
        tried[k] = tried.get(k) or measured(k)
        full, cost = tried[k]
        kept = not budget.exceeded(cost, full)
        if kept and (k == least or k - 1 in tried):
            return Fit(k, cost, full, predicted[k])
        if not kept and k == most:
            raise _impossible(budget, most, cost, full)
        k += -1 if kept else 1


def _bisect(keeps: Callable[[int], bool], most: int) -> int:
    """The least k up to ``most``, which does, for which it holds."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle + 1, high)
    return low


def _impossible(budget: Budget, most: int, cost: Cost, full: Cost) -> InputError:
    limits, spent = budget.limits(), budget.spent(cost, full)
    (name, value), *_ = budget.exceeded(cost, full).items()
    reached = ", ".join(f"budget.{name}={value:.3g}" for name, value in spent.items())
    return InputError(
        f"budget.{name}={limits[name]:g} cannot be reached: without all {most} units that can go "
        f"it is {value:.3g}; what can be reached: {reached}"
    )


def _gone(
    model: VideoTransformer,
    most: int,
    smaller: Callable[[int], VideoTransformer],
    clip: Tensor,
    autocast: Autocast,
) -> list[float]:
    """What the first 0, 1, ... ``most`` units take together, in milliseconds."""
    own = layer_latencies(model, clip, autocast)
    found = []
    for k in range(most + 1):
        there = set(smaller(k).layers)
        found.append(sum(ms for layer, ms in own.items() if layer not in there))
    return found


def layer_latencies(
    model: VideoTransformer,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 1.0,
    least: int = 5,
) -> dict[int, float]:
    """Milliseconds that dropping each layer saves: its median, less that of its shortcut.

    Args:
        model: whose layers they are.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: how long it goes on, for ``least`` turns in any case.
    """
    times: dict[int, list[float]] = {layer: [] for layer in model.layers}
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast():
            end = None
            while end is None or time.perf_counter() < end or len(times[model.layers[0]]) < least:
                tokens, first = model.embed(clip), end is None
                for block in cast("Iterable[Block]", model.blocks):
                    marks = [_now(clip)]
                    following = block(tokens)
                    marks.append(_now(clip))
                    block.shortcut(tokens)
                    marks.append(_now(clip))
                    tokens = following
                    if not first:  # which warms up
                        start, middle, stop = marks
                        times[block.index].append(1e3 * (2 * middle - start - stop))
                end = end or time.perf_counter() + seconds
    finally:
        model.train(training)
    return {layer: statistics.median(found) for layer, found in times.items()}


def _now(clip: Tensor) -> float:
    wait_for(clip)
    return time.perf_counter()
