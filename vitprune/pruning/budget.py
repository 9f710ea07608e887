"""Budgets: what a smaller model may cost, and the fewest units to drop so that it costs no more.

Users have a budget rather than a number of layers in mind: 40 ms on this machine, 30 MB on that
one. Parameters, bytes and FLOPs of a candidate are counted. Its latency is predicted from what
each unit saves (:mod:`vitprune.pruning.unit_costs`), and then measured beside the full model's, in
turns: what was measured decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from vitprune.errors import InputError
from vitprune.importance.engine import Autocast, evaluating
from vitprune.models.chain import VideoTransformer
from vitprune.models.unit import Unit
from vitprune.pruning.cost import Cost, counted, latencies
from vitprune.pruning.unit_costs import without


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

    def needs(self, full: Cost) -> dict[str, float]:
        """How much of what is limited a model has to save, where it has to; in the limit's units.

        Empty without a limit that it exceeds.
        """
        limits = self.limits()
        own = self.spent(full, full)
        return {name: own[name] - limits[name] for name in limits if own[name] > limits[name]}

    def worth(self, saved: Cost, full: Cost) -> float:
        """How far what a unit saves goes: its share of what has to be saved.

        Of several limits that the full model exceeds, the sum of the shares; so what is scarce
        counts as much as what is not, and the figures of units still add up. Without any limit that
        it exceeds: the share of its FLOPs.
        """
        own = self.spent(saved, full)
        shares = [own[name] / need for name, need in self.needs(full).items()]
        return sum(shares) if shares else saved.flops / full.flops

    @property
    def timed(self) -> bool:
        """Whether it limits the latency, which has to be measured."""
        return self.latency is not None or self.latency_ms is not None


@dataclass(frozen=True)
class Fit:
    """What a smaller model costs beside the full one.

    Attributes:
        k: how many units are gone.
        cost: of the smaller model; flops are 0 where no budget limits them.
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
    full: Cost,
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
        full: what is counted of the full model; its latency is measured anew.
        budget: says what is limited.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: that measuring latency takes.
    """
    cost = counted(smaller, clip, flops=budget.flops is not None)
    if budget.timed:
        with evaluating(model), evaluating(smaller):
            whole, own = latencies([model, smaller], clip, autocast, seconds=seconds)
        full, cost = replace(full, latency_ms=whole), replace(cost, latency_ms=own)
    return Fit(k, cost, full)


def fewest(
    model: VideoTransformer,
    order: Sequence[Unit],
    smaller: Callable[[int], VideoTransformer],
    full: Cost,
    saved: Mapping[Unit, Cost],
    budget: Budget,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 2.0,
) -> Fit:
    """The fewest units to drop so that a model keeps to a budget.

    What units save tells how many to try first. How far off that is at tries on both sides tells
    what to expect between them; where two in a row fall on one side, the middle is next. It ends
    with a number that keeps to the budget where one unit fewer does not; where latency is limited,
    one unit fewer has exceeded it twice.

    Args:
        model: full.
        order: the units that can go, the first to go first.
        smaller: how many go -> the model without them; more never cost more.
        full: what the full model costs.
        saved: what each unit saves.
        budget: what it may cost.
        clip: [1, 3, T, H, W].
        autocast: gives the context of each forward, for mixed precision.
        seconds: for each measurement of latency.

    Raises:
        InputError: no number of units is enough; it says what can be reached.
    """
    most = len(order)
    expected = [without(full, saved, order[:k]) for k in range(most + 1)]
    spent = [budget.spent(cost, full) for cost in expected]
    limits = budget.limits()
    tried: dict[int, Fit] = {}
    off = {-1: dict.fromkeys(limits, 0.0)}  # of the full model nothing is predicted

    def exceeds(k: int) -> bool:
        found = measured(model, smaller(k), k, full, budget, clip, autocast, seconds=seconds)
        if budget.timed:
            found = replace(found, predicted_ms=expected[k].latency_ms)
        tried[k] = found
        real = budget.spent(found.cost, found.full)
        off[k] = {name: real[name] - spent[k][name] for name in limits}
        return found.exceeds(budget)

    def fits(k: int, low: int, high: int) -> bool:
        """Whether it is expected to, where what is expected was so far off at two tries."""
        share = (k - low) / (high - low) if high in off else 0.0
        other = off.get(high, off[low])
        return all(
            spent[k][name] + (1 - share) * off[low][name] + share * other[name] <= limits[name]
            for name in limits
        )

    exceeding, keeping = -1, most + 1
    again: set[int] = set()
    while True:
        sides: list[bool] = []
        while keeping - exceeding > 1:
            between = range(exceeding + 1, keeping)
            if sides[-2:] in ([True] * 2, [False] * 2):
                k = between[len(between) // 2]
            else:
                k = next((k for k in between if fits(k, exceeding, keeping)), between[-1])
            sides.append(exceeds(k))
            exceeding, keeping = (k, keeping) if sides[-1] else (exceeding, k)
        # One measurement that something else on the machine drove up must not cost units.
        if not budget.timed or exceeding < 1 or exceeding in again:
            break
        again.add(exceeding)
        if exceeds(exceeding):
            break
        keeping = exceeding
        exceeding = max((k for k in tried if k < keeping and tried[k].exceeds(budget)), default=-1)
    return _kept(tried[min(keeping, most)], budget)


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
