"""``prune.py``: score the units, drop k of them, recover, compare all on the same clips."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from vitprune.errors import InputError
from vitprune.importance import Scores, Unit, order_neurons
from vitprune.models.dropping import drop_units
from vitprune.models.unit import ANY, NEURONS, outermost
from vitprune.pruning import FULL, DropCurves, ModelComparison, Plan, choose
from vitprune.report.curves import print_curves
from vitprune.report.terminal import print_comparison
from vitprune.tasks.costing import Costing
from vitprune.tasks.curves import every_order, write_curves
from vitprune.tasks.data import look_through
from vitprune.tasks.export import export_model
from vitprune.tasks.goal import Goal
from vitprune.tasks.outputs import by_view, safety_cards, write_pruning
from vitprune.tasks.ranking import Ranking
from vitprune.tasks.recovery import Recovered, Recovering
from vitprune.tasks.run import Run, surroundings
from vitprune.tasks.scoring import Scoring
from vitprune.tasks.searching import searched
from vitprune.tasks.subject import pruning_subject
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune

OPTIONAL = ("val", "views", "recovered", "recovery", "budget", "search")


@dataclass(frozen=True)
class Pruned:
    """What a job of prune.py found; its fields are the keys of ``results.json``.

    Attributes:
        model: specification of the full model, and its title in tables.
        ckpt: its checkpoint, with ``ckpt_digest`` and what it was fine-tuned with.
        dropped: the units as they are written, the first to go first.
        full: Top-1, Top-5 and cost of the full model.
        pruned: the same of the smaller one, as dropping leaves it.
        paired: how many videos changed sides between these two, and McNemar's exact p.
        recovered: Top-1, Top-5 and cost of the recovered one, where there is one.
        recovery: of it, ``clips`` and ``seconds`` that it took (of all turns, where there were
            several), what was found in the last turn, and ``paired`` with ``full`` and with
            ``pruned``.
        budget: what was allowed and what is spent, where there is a budget.
        search: of a search, how many sets of units were ``evaluated``; of the one that it began
            with (``start``) and the one that was ``found``, ``divergence`` (mean JSD from the full
            model's answers to the calibration clips, in bits) and ``class_loss`` (points of recall
            of the class that loses most of them).
        val: all models on the validation split, where an objective wants it.
        views: Top-1 of each on the test videos of each camera, where there are several.
        safety: name of a smaller model -> what it costs whom
            (:class:`vitprune.results.safety.SafetyCard`).
        seconds: by phase.
        settings: as they were used; ``asked`` as they were given.
    """

    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    ckpt: str
    ckpt_digest: str
    fine_tuning: Mapping[str, Any] | None
    metric: str
    k: int
    direction: str
    scope: str
    target: str
    strategy: str
    recover: Mapping[str, Any]
    calibration: Mapping[str, Any]
    seed: int
    precision: str
    clip_settings: Mapping[str, Any]
    leakage: Mapping[str, int] | None
    dropped: list[str]
    full: Mapping[str, Any]
    pruned: Mapping[str, Any]
    paired: Mapping[str, Any]
    safety: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]
    budget: Mapping[str, Any] | None = None
    search: Mapping[str, Any] | None = None
    recovered: Mapping[str, Any] | None = None
    recovery: Mapping[str, Any] | None = None
    val: Mapping[str, Any] | None = None
    views: Mapping[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As ``results.json`` has it; :data:`OPTIONAL` ones only where there are such."""
        values = asdict(self)
        return {k: value for k, value in values.items() if k not in OPTIONAL or value is not None}


def prune(cfg: Prune, run: Run) -> Pruned:
    """Score the units, drop k of them, recover, and compare all models on the test split."""
    start, asked = time.perf_counter(), cfg.settings()
    run.seed()
    subject = pruning_subject(cfg, run)
    cfg, data, full = subject.cfg, subject.data, subject.classifier
    look_through(cfg, data, cfg.learnt_from(), decode=data.on_error == "skip")
    ready = time.perf_counter()
    scoring = Scoring(cfg, run, data)
    with run:
        if cfg.neuron_order == "activation" and cfg.scope in (ANY, NEURONS):
            _order_neurons(cfg, run, scoring, full)
        recovering = Recovering(cfg, run, data, full, subject.path)
        smaller = make_smaller(cfg, run, scoring, full, recovering)
        made = time.perf_counter()
        comparison = ModelComparison(smaller.others(), scoring.validation())
        curves = None
        if cfg.curves:
            orders = lambda: every_order(cfg, full.model, scoring)  # noqa: E731
            curves = DropCurves(orders, lambda: scoring.clips("val"))
        trainer = run.trainer([comparison] if curves is None else [comparison, curves])
        scoring.trainer = trainer
        trainer.test(full, datamodule=data, verbose=False)
        outcome = comparison.outcome
        answers = outcome.test
        cards = safety_cards(answers, data)
        recovered_in = smaller.seconds_of_recovery
        seconds = {"prepare": ready - start, "score": made - ready - recovered_in}
        if smaller.recovered is not None:
            seconds["recover"] = recovered_in
        seconds |= outcome.seconds
        seconds["total"] = time.perf_counter() - start
        recovery = None
        if smaller.recovered is not None:
            paired = {name: answers.paired(name, "recovered") for name in ("full", "pruned")}
            recovery = {
                **smaller.recovered.described(),
                "seconds": recovered_in,
                "paired": paired,
            }
        results = Pruned(
            **subject.described(),
            **outcome.described(),
            dropped=[str(unit) for unit in smaller.plan.dropped],
            k=len(smaller.plan.dropped),
            budget=smaller.budget,
            search=smaller.search,
            paired=answers.paired("full", "pruned"),
            safety={name: card.plain() for name, card in cards.items()},
            recovery=recovery,
            model={**asdict(full.model.spec), "title": full.model.title},
            calibration={"split": cfg.calibration, "clips": len(smaller.plan.scores.clips)},
            precision=trainer.precision,  # on a CPU, Lightning takes bf16 for fp16
            environment=surroundings(trainer),
            seconds=seconds,
            asked=asked,
            views=by_view(answers.video.tolist(), answers.hits(), data),
            **cfg.choices(),
        )
        if trainer.is_global_zero:
            with run.publishing(results.plain()):
                write_pruning(run, cfg, smaller.plan, smaller.others(), answers, data, cards)
                if curves is not None:
                    table = write_curves(run, cfg, curves, data, full.model.title)
            scoring.trace(subject.path, results.plain())
            print_comparison(results.plain())
            if curves is not None:
                print_curves([table])
            if cfg.export:
                models, found = {FULL: full, **smaller.others()}, results.plain()
                figures = {name: found[name] for name in models}
                path = run.directory / f"{[*models][-1]}.ckpt"
                export_model(cfg, run, models, path, data, found, figures)
    if trainer.is_global_zero:  # after W&B has said its own
        run.say_where()
    return results


def _order_neurons(cfg: Prune, run: Run, scoring: Scoring, full: VideoClassifier) -> None:
    """Let the full model's groups of neurons be of such as add about as much."""

    def work(trainer: pl.Trainer) -> None:
        clips = scoring.clips(cfg.calibration)
        order_neurons(full.model, clips, trainer.precision_plugin.forward_context)

    try:
        run.at_work(full, work)
    except ValueError as error:
        raise InputError(f"neuron_order=activation: {error}") from error


@dataclass(frozen=True)
class Smaller:
    """What was made of the full model.

    Attributes:
        plan: which units went.
        pruned: the model as dropping leaves it.
        recovered: what recovery made of it; None for none.
        seconds_of_recovery: of every recovery on the way.
        budget: what was allowed and what is spent; None for no budget.
        search: what a search tells of itself; None for none.
    """

    plan: Plan
    pruned: VideoClassifier
    recovered: Recovered | None
    seconds_of_recovery: float
    budget: Mapping[str, Any] | None
    search: Mapping[str, Any] | None

    def others(self) -> dict[str, VideoClassifier]:
        """The models besides the full one, by name."""
        recovered = {} if self.recovered is None else {"recovered": self.recovered.classifier}
        return {"pruned": self.pruned, **recovered}


def make_smaller(
    cfg: Prune, run: Run, scoring: Scoring, full: VideoClassifier, recover: Recovering
) -> Smaller:
    """Choose, drop and recover: once, or in turns where the strategy is ``progressive``."""
    costing = Costing(cfg, run, full)
    goal, ranking = Goal(cfg, costing, recover), Ranking(cfg, scoring, costing)
    dropped: list[Unit] = []
    first: Scores | None = None
    recovered: Recovered | None = None
    search: Mapping[str, Any] | None = None
    current, seconds = full, 0.0
    while count := goal.next(current, len(dropped)):
        plan = goal.cut(_chosen(cfg, run, scoring, ranking, current, count), count)
        if cfg.strategy == "search":
            order = ranking.each(plan.scores)
            plan, search = searched(cfg, run, scoring, full, goal, plan, order)
        first = first or plan.scores
        dropped = outermost([*dropped, *plan.dropped], first.units)
        current = current.with_model(drop_units(current.model, plan.dropped))
        if cfg.recover.name != "none":
            recovered = recover(current)
            current = recovered.classifier
            seconds += recovered.seconds
        if cfg.strategy != "progressive":
            break
    assert first is not None
    # Beside what recovery gives there is always what dropping the same units alone leaves.
    pruned = full.with_model(drop_units(full.model, dropped))
    plan = Plan(tuple(dropped), first)
    return Smaller(plan, pruned, recovered, seconds, goal.spent, search)


def _chosen(
    cfg: Prune,
    run: Run,
    scoring: Scoring,
    ranking: Ranking,
    classifier: VideoClassifier,
    count: int,
) -> Plan:
    """The units that go next."""

    def work(trainer: pl.Trainer) -> Plan:
        scoring.trainer = trainer
        return choose(classifier.model, count, scoring.score, ranking, at_once=cfg.at_once())

    return run.at_work(classifier, work)
