"""How far a job of prune.py goes: to a number of units, or to a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vitprune.errors import InputError
from vitprune.importance import Unit, units_of
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.unit import ANY, outermost
from vitprune.pruning import Plan
from vitprune.pruning.budget import Budget, Fit, fewest, impossible, measured
from vitprune.pruning.unit_costs import without
from vitprune.tasks.costing import Costing
from vitprune.tasks.recovery import Recovering
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


class Goal:
    """How many units go: ``k``, or as few as a budget takes.

    Args:
        cfg: of the job.
        costing: of the model that gets smaller.
        recover: what makes a model somewhat larger again.

    Raises:
        InputError: ``k`` is given beside a budget.
    """

    def __init__(self, cfg: Prune, costing: Costing, recover: Recovering) -> None:
        self.cfg, self.costing, self.recover = cfg, costing, recover
        self.full, self.budget = costing.full.model, costing.budget
        self.fit: Fit | None = None
        """What the smaller model costs that is gone for, where there is a budget."""
        if self.budget.limits() and "k" in cfg.given:
            raise InputError(
                f"k={cfg.k} and {self.budget} are both given; a budget says how many units go"
            )

    @property
    def spent(self) -> dict[str, Any] | None:
        """What was allowed and what is spent; None without a budget."""
        return None if self.fit is None else self.fit.described(self.budget)

    def next(self, current: VideoClassifier, gone: int) -> int:
        """How many units are to be chosen next; 0 where the goal is reached."""
        most = len(units_of(current.model, self.cfg.scope)) - 1
        at_once = self.cfg.at_once() if self.cfg.strategy == "progressive" else None
        if not self.budget.limits():
            left = self.cfg.k - gone
            return min(at_once or left, left)
        if at_once is None:
            return most
        self.fit = self._measured(current.model, gone)
        if not self.fit.exceeds(self.budget):
            self._some_go(self.fit)
            return 0
        if not most:
            raise impossible(self.budget, self.fit)
        return min(at_once, most)

    def cut(self, plan: Plan, count: int) -> Plan:
        """As much of a plan as is needed.

        Args:
            plan: as it was chosen.
            count: how many units were to be chosen.

        Raises:
            InputError: no part of it is enough, or none of it is needed.
        """
        if not self.budget.limits():
            if (most := len(outermost(plan.dropped, plan.scores.units))) < count:
                raise InputError(
                    f"k={self.cfg.k} is out of range; with scope={self.cfg.scope} it takes 1 to "
                    f"{self.cfg.k - count + most}"
                )
            return plan
        if self.cfg.strategy == "progressive":
            if self.fit is not None and not plan.dropped:
                raise impossible(self.budget, self.fit)
            return plan
        whole, saved = self.costing.whole, self.costing.saved

        def smaller(k: int) -> VideoTransformer:
            pruned = drop_units(self.full, plan.dropped[:k]) if k else self.full
            return self.recover.with_room(pruned) if k else pruned

        self.fit = self.costing.at_work(
            lambda clip, autocast: fewest(
                self.full, plan.dropped, smaller, whole, saved, self.budget, clip, autocast
            )
        )
        self._some_go(self.fit)
        return Plan(plan.dropped[: self.fit.k], plan.scores)

    def enough(self, start: Sequence[Unit]) -> Callable[[Sequence[Unit]], bool]:
        """Whether dropping some units is as much as ``start`` was chosen for.

        That is to be expected to keep to the budget, by what ``start`` costs and what units save;
        without a budget, to be as many units, or of units of all kinds to save as many FLOPs.
        """
        if self.fit is None and self.cfg.scope != ANY:
            return lambda units: len(units) >= len(start)
        whole, saved = self.costing.whole, self.costing.saved
        expected = without(whole, saved, start)
        if self.fit is None:
            limit = Budget(flops=expected.flops / whole.flops)
        else:
            told = self.budget.spent(expected, whole)
            real = self.budget.spent(self.fit.cost, self.fit.full)
            limits = self.budget.limits()
            limit = Budget(**{name: limits[name] * told[name] / real[name] for name in limits})
        return lambda units: not limit.exceeded(without(whole, saved, units), whole)

    def keeps(self, units: Sequence[Unit]) -> bool:
        """Whether the model without some units really keeps to the budget, if there is one."""
        if self.fit is None:
            return True
        smaller = self.recover.with_room(drop_units(self.full, units))
        fit = self._measured(smaller, len(units))
        if fit.exceeds(self.budget):
            return False
        if self.budget.timed:
            expected = without(self.costing.whole, self.costing.saved, units)
            fit = replace(fit, predicted_ms=expected.latency_ms)
        self.fit = fit
        return True

    def _some_go(self, fit: Fit) -> None:
        if not fit.k:
            raise InputError(f"the full model keeps to {self.budget}; nothing is to be dropped")

    def _measured(self, smaller: VideoTransformer, k: int) -> Fit:
        whole = self.costing.whole
        return self.costing.at_work(
            lambda clip, autocast: measured(
                self.full, smaller.to(clip.device), k, whole, self.budget, clip, autocast
            )
        )
