"""The search of a job of prune.py: from a plan to a better set of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.progress import Progress

from vitprune.errors import InputError
from vitprune.importance import Unit
from vitprune.models.unit import outermost
from vitprune.pruning import Plan
from vitprune.pruning.search import Candidate, Found, Outcome, outcomes, search, swaps
from vitprune.tasks.goal import Goal
from vitprune.tasks.run import Run
from vitprune.tasks.scoring import Scoring
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


def searched(
    cfg: Prune,
    run: Run,
    scoring: Scoring,
    full: VideoClassifier,
    goal: Goal,
    plan: Plan,
    order: Sequence[Unit],
) -> tuple[Plan, dict[str, Any]]:
    """The best plan that a search finds, and what ``results.json`` says of it.

    While it goes on, what a candidate costs is told by its units. Of all that it came by, the best
    one is taken that really keeps to the budget; the one that it begins with does.

    Args:
        cfg: of the job.
        run: of the job.
        scoring: whose calibration clips are answered.
        full: what units are dropped from.
        goal: how far it goes, as far as the plan does.
        plan: where the search begins.
        order: all units that can go, the first to go first.

    Raises:
        InputError: ``max_class_loss`` is not kept to; it says what the best candidate does.
    """
    start = outermost(plan.dropped, plan.scores.units)
    vary = swaps(order, goal.enough(start))

    def work(trainer: pl.Trainer) -> Found:
        scoring.trainer = trainer
        clips = scoring.clips(cfg.calibration)
        autocast = trainer.precision_plugin.forward_context
        with Progress(disable=not trainer.is_global_zero) as bar:
            task = bar.add_task("search", total=len(clips) * (1 + cfg.search.rounds))

            def shown() -> Iterator[Any]:
                for batch in clips:
                    yield batch
                    bar.advance(task)

            def evaluate(sets: Sequence[Candidate]) -> list[Outcome]:
                return outcomes(full.model, shown(), sets, autocast)

            return search(
                start,
                vary,
                evaluate,
                candidates=cfg.search.candidates,
                rounds=cfg.search.rounds,
                seed=cfg.seed,
                most_loss=cfg.max_class_loss,
            )

    found = run.at_work(full, work)
    for candidate in found.admissible():
        if candidate == found.start or goal.keeps(sorted(candidate)):
            # Where all are taken at once, the order of what goes says nothing but where it is.
            return Plan(tuple(sorted(candidate)), plan.scores), found.described(candidate)
    outcome = next(iter(found.outcomes.values()))
    name = scoring.data.class_names[outcome.label]
    lack = f"; none that keeps it keeps to {goal.budget}" if found.admissible() else ""
    raise InputError(
        f"max_class_loss={cfg.max_class_loss:g} cannot be kept: of {len(found.outcomes)} sets of "
        f"units the best one costs {name} {outcome.loss:.3g} points of recall{lack}"
    )
