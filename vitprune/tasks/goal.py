"""How far a job of prune.py goes: to a number of units, or to a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.errors import InputError
from vitprune.importance import units_of
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.pruning import Plan
from vitprune.pruning.budget import Budget, Fit, fewest, impossible, measured
from vitprune.tasks.recovery import Recovering
from vitprune.tasks.run import Run
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


class Goal:
    """How many units go: ``k``, or as few as a budget takes.

    Args:
        cfg: of the job.
        run: of the job.
        full: the model that gets smaller.
        recover: what makes a model somewhat larger again.

    Raises:
        InputError: ``k`` is given beside a budget.
    """

    def __init__(self, cfg: Prune, run: Run, full: VideoClassifier, recover: Recovering) -> None:
        self.cfg, self.run, self.full, self.recover = cfg, run, full, recover
        self.budget = Budget(**cfg.budget.limits())
        self.spent: dict[str, Any] | None = None
        if self.budget.limits() and "k" in cfg.given:
            raise InputError(
                f"k={cfg.k} and {self.budget} are both given; a budget says how many units go"
            )

    def next(self, current: VideoClassifier, gone: int) -> int:
        """How many units are to be chosen next; 0 where the goal is reached."""
        most = len(units_of(current.model, self.cfg.scope)) - 1
        in_turns = self.cfg.strategy == "progressive"
        if not self.budget.limits():
            left = self.cfg.k - gone
            return min(self.cfg.step, left) if in_turns else left
        if not in_turns:
            return most
        fit = self._at_work(
            lambda clip, autocast: measured(
                self.full.model, current.model.to(clip.device), gone, self.budget, clip, autocast
            )
        )
        if not fit.exceeds(self.budget):
            self._reached(fit)
            return 0
        if not most:
            raise impossible(self.budget, fit)
        return min(self.cfg.step, most)

    def cut(self, plan: Plan) -> Plan:
        """As much of a plan as is needed.

        Raises:
            InputError: no part of it is enough, or none of it is needed.
        """
        if not self.budget.limits() or self.cfg.strategy == "progressive":
            return plan

        def smaller(k: int) -> VideoTransformer:
            pruned = drop_units(self.full.model, plan.dropped[:k]) if k else self.full.model
            return self.recover.with_room(pruned) if k else pruned

        fit = self._at_work(
            lambda clip, autocast: fewest(
                self.full.model, plan.dropped, smaller, self.budget, clip, autocast
            )
        )
        self._reached(fit)
        return Plan(plan.dropped[: fit.k], plan.scores)

    def _reached(self, fit: Fit) -> None:
        if not fit.k:
            raise InputError(f"the full model keeps to {self.budget}; nothing is to be dropped")
        self.spent = fit.described(self.budget)

    def _at_work(self, measure: Callable[[Tensor, Any], Fit]) -> Fit:
        """A measurement on the job's device, in its precision; the first process's, for all."""

        def work(trainer: pl.Trainer) -> Fit:
            spec = self.full.model.spec
            size = (1, 3, spec.num_frames, spec.image_size, spec.image_size)
            clip = torch.randn(size).to(next(self.full.parameters()))
            fit = measure(clip, trainer.precision_plugin.forward_context)
            return trainer.strategy.broadcast(fit)

        return self.run.at_work(self.full, work)
