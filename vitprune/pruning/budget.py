"""Budgets: what a smaller model may cost, and the fewest units to drop so that it costs no more.

Users have a budget rather than a number of layers in mind: 40 ms on this machine, 30 MB on that
one. Parameters, bytes and FLOPs of a candidate are counted. Its latency is predicted from what
each unit takes (:func:`unit_latencies`), and then measured beside the full model's, in turns:
what was measured decides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from vitprune.errors import InputError
from vitprune.importance.engine import evaluating
from vitprune.models.chain import Block, Branch, VideoTransformer
from vitprune.models.places import places
from vitprune.models.unit import Unit
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

    def __str__(self) -> str:
        return " ".join(f"budget.{name}={limit:g}" for name, limit in self.limits().items())

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
    """What a smaller model costs beside the full one.

    Attributes:
        k: how many units are gone.
        cost: of the smaller model.
        full: of the full one; latencies are nan where no budget limits them.
        predicted_ms: the smaller one's latency as predicted, if it was.
    """

    k: int
    cost: Cost
    full: Cost
    predicted_ms: float | None = None

    def described(self, budget: Budget) -> dict[str, Any]:
        """As ``results.json`` has it."""
        spent = budget.spent(self.cost, self.full)
        predicted = {} if self.predicted_ms is None else {"predicted_ms": self.predicted_ms}
        return {"limits": budget.limits(), "spent": spent, **predicted}

    def exceeds(self, budget: Budget) -> bool:
        """Whether the smaller model costs more than a budget allows."""
        return bool(budget.exceeded(self.cost, self.full))


def measured(
    model: VideoTransformer,
    smaller: VideoTransformer,
    k: int,
    budget: Budget,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 2.0,
) -> Fit:
    """What a smaller model costs; latency, where it is limited, side by side with the full one's.

    Args:
        model: full.
        smaller: without ``k`` units.
        k: how many.
        budget: says what is limited.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: that measuring latency takes.
    """
    both = [model, smaller]
    if budget.timed:
        full, cost = costs(both, clip, autocast, seconds=seconds)
    else:
        full, cost = (counted(one, clip) for one in both)
    return Fit(k, cost, full)


def fewest(
    model: VideoTransformer,
    order: Sequence[Unit],
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
        order: the units that can go, the first to go first.
        smaller: how many go -> the model without them; more never cost more.
        budget: what it may cost.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: for each measurement of latency.

    Raises:
        InputError: no number of units is enough; it says what can be reached.
    """
    most = len(order)
    untimed = Budget(**{**asdict(budget), "latency": None, "latency_ms": None})

    def fit(k: int, limits: Budget) -> Fit:
        return measured(model, smaller(k), k, limits, clip, autocast, seconds=seconds)

    least = _least(lambda k: not fit(k, untimed).exceeds(untimed), most)
    if not budget.timed or fit(most, untimed).exceeds(untimed):
        return _kept(fit(least, untimed), untimed)
    whole = fit(0, budget).full.latency_ms
    own = unit_latencies(model, clip, autocast)
    predicted = [whole - sum(own[unit] for unit in order[:k]) for k in range(most + 1)]
    limit = min(whole * (budget.latency or float("inf")), budget.latency_ms or float("inf"))
    k = next((k for k in range(least, most + 1) if predicted[k] <= limit), most)
    tried: dict[int, Fit] = {}
    while True:
        tried[k] = tried.get(k) or fit(k, budget)
        exceeds = tried[k].exceeds(budget)
        if k == most if exceeds else k == least or k - 1 in tried:
            return _kept(replace(tried[k], predicted_ms=predicted[k]), budget)
        k += 1 if exceeds else -1


def _least(holds: Callable[[int], bool], most: int) -> int:
    """The least k for which it holds, as it does for all larger ones; ``most`` if for none."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _kept(fit: Fit, budget: Budget) -> Fit:
    if fit.exceeds(budget):
        raise impossible(budget, fit)
    return fit


def impossible(budget: Budget, fit: Fit) -> InputError:
    """What to say of a budget that even the smallest model, ``fit``, exceeds."""
    limits, spent = budget.limits(), budget.spent(fit.cost, fit.full)
    (name, value), *_ = budget.exceeded(fit.cost, fit.full).items()
    reached = ", ".join(f"budget.{name}={value:.3g}" for name, value in spent.items())
    return InputError(
        f"budget.{name}={limits[name]:g} cannot be reached: without all {fit.k} units that can go "
        f"it is {value:.3g}; what can be reached: {reached}"
    )


def unit_latencies(
    model: VideoTransformer,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 1.0,
    least: int = 5,
) -> dict[Unit, float]:
    """Milliseconds that dropping each unit alone should save.

    Of a branch, the median of what it takes, less what its residual path takes; of a layer, that of
    its branches together; of a head or a group of neurons, an equal share of its branch.

    Args:
        model: whose units they are.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: how long it goes on, for ``least`` turns in any case.
    """
    times: dict[Branch, list[float]] = {}
    with evaluating(model), torch.inference_mode(), autocast():
        _walk(model, clip, times)  # warms up
        times.clear()
        turns, end = 0, time.perf_counter() + seconds
        while turns < least or time.perf_counter() < end:
            _walk(model, clip, times)
            turns += 1
    own = {branch: statistics.median(found) for branch, found in times.items()}
    found = {}
    for unit, place in places(model).items():
        whole = sum(own[branch] for branch in place.branches)
        found[unit] = whole if unit.number is None else whole / len(place.parted.numbers)
    return found


def _walk(model: VideoTransformer, clip: Tensor, times: dict[Branch, list[float]]) -> None:
    """One forward, by branches; adds to the times of each."""
    tokens = model.embed(clip)
    for block in cast("Iterable[Block]", model.blocks):
        tokens = block.before(tokens)
        for branch in cast("Iterable[Branch]", block.branches.values()):
            start = _now(clip)
            following = branch(tokens)
            middle = _now(clip)
            branch.skip(tokens)
            times.setdefault(branch, []).append(1e3 * (2 * middle - start - _now(clip)))
            tokens = following


def _now(clip: Tensor) -> float:
    wait_for(clip)
    return time.perf_counter()
