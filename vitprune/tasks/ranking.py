"""The order in which a job's units go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitprune.importance import Scores, Unit
from vitprune.models.unit import ANY
from vitprune.pruning.by_cost import by_cost, by_price, remaining
from vitprune.tasks.costing import Costing
from vitprune.tasks.scoring import Scoring

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


class Ranking:
    """By relevance; units of all kinds by relevance for what they save of the budget.

    Args:
        cfg: of the job.
        scoring: of the job.
        costing: of the full model. Nothing is measured while units are ranked.
    """

    def __init__(self, cfg: Prune, scoring: Scoring, costing: Costing) -> None:
        self.cfg, self.scoring = cfg, scoring
        self.worth = costing.worth() if cfg.scope == ANY else None

    def __call__(self, scores: Scores) -> list[Unit]:
        """The units in the order in which they go."""
        if self.worth is None:
            return self.scoring.rank(scores)
        saved = remaining(self.worth, scores.units)
        return by_cost(self._relevance(scores), saved, self.cfg.direction)

    def each(self, scores: Scores) -> list[Unit]:
        """The same of every unit by itself, also where it is part of another one."""
        if self.worth is None:
            return self.scoring.rank(scores)
        return by_price(self._relevance(scores), self.worth, self.cfg.direction)

    def _relevance(self, scores: Scores) -> dict[Unit, float]:
        mean = scores.mean(self.cfg.metric, self.cfg.target).tolist()
        return dict(zip(scores.units, mean, strict=True))
