"""What a job's full model costs and what each of its units saves: counted, or measured once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.deploy.timing import processor
from vitprune.importance import Unit
from vitprune.pruning.budget import Budget
from vitprune.pruning.cost import Cost, costs, counted
from vitprune.pruning.unit_costs import latency_entry, latency_shares, unit_costs
from vitprune.tasks.run import Run
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune

Found = TypeVar("Found")


class Costing:
    """Costs of the full model, on the job's device and in its precision.

    Latencies are there only if the budget limits them. All processes of a group get those that the
    first one measured.

    Args:
        cfg: of the job.
        run: of the job; its store has what was measured before.
        full: the model that gets smaller.
    """

    def __init__(self, cfg: Prune, run: Run, full: VideoClassifier) -> None:
        self.run, self.full = run, full
        self.budget = Budget(**cfg.budget.limits())

    @cached_property
    def whole(self) -> Cost:
        """Of the full model."""

        def measure(clip: Tensor, autocast: Any) -> Cost:
            if not self.budget.timed:
                return counted(self.full.model, clip)
            return costs([self.full.model], clip, autocast)[0]

        return self.at_work(measure)

    @cached_property
    def saved(self) -> dict[Unit, Cost]:
        """What dropping each unit alone saves."""
        counts: dict[Unit, Cost] = self.at_work(lambda clip, _: unit_costs(self.full.model, clip))
        if not self.budget.timed:
            return counts
        shares = self.run.at_work(self.full, self._shares)
        whole = self.whole.latency_ms
        return {
            unit: replace(cost, latency_ms=whole * shares[unit]) for unit, cost in counts.items()
        }

    def worth(self) -> dict[Unit, float]:
        """What each unit saves of what the budget limits; see :meth:`Budget.worth`."""
        return {unit: self.budget.worth(cost, self.whole) for unit, cost in self.saved.items()}

    def at_work(self, measure: Callable[[Tensor, Any], Found]) -> Found:
        """A measurement with a clip on the job's device, and the context of its precision; the
        first process's, for all."""

        def work(trainer: pl.Trainer) -> Found:
            found = measure(self._clip(), trainer.precision_plugin.forward_context)
            return trainer.strategy.broadcast(found)

        return self.run.at_work(self.full, work)

    def _shares(self, trainer: pl.Trainer) -> dict[Unit, float]:
        model, clip = self.full.model, self._clip()
        device = torch.cuda.get_device_name(clip.device) if clip.is_cuda else processor()

        def measure() -> dict[Unit, float]:
            autocast = trainer.precision_plugin.forward_context
            return trainer.strategy.broadcast(latency_shares(model, clip, autocast))

        name = latency_entry(model, clip, device, str(trainer.precision))
        return self.run.latencies().get(name, measure)

    def _clip(self) -> Tensor:
        spec = self.full.model.spec
        size = (1, 3, spec.num_frames, spec.image_size, spec.image_size)
        return torch.randn(size).to(next(self.full.parameters()))
