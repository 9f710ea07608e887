"""The curves of a job of prune.py: by what units are ordered, and the files that come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.progress import Progress

from vitprune.data import VideoDataModule
from vitprune.files import replacing
from vitprune.importance import MEASURES, METRICS, Scores, measure_of, units_of
from vitprune.models import VideoTransformer
from vitprune.pruning import DropCurves, choose, random_orders
from vitprune.report.curves import CurveTable
from vitprune.report.sections import curves_chart
from vitprune.results.curves import CURVES, RANDOM, Curves, Measured, Order, compare_curves
from vitprune.results.groups import Group
from vitprune.tasks.run import Run
from vitprune.tasks.scoring import Scoring

if TYPE_CHECKING:
    from vitprune.launch.configuration import Prune


def every_order(cfg: Prune, model: VideoTransformer, scoring: Scoring) -> list[Order]:
    """The orders in which all but one of a model's units go: by every metric, and at random.

    Greedily, too, by metrics whose values change when a unit is gone: those that look at clips.
    """
    metrics = [*METRICS, *(name for name in MEASURES if name not in ("ablation", RANDOM))]
    looking = [name for name in metrics if MEASURES[measure_of(name)].per_clip is not None]
    drawn = random_orders([*map(str, units_of(model, cfg.scope))], draws=cfg.draws, seed=cfg.seed)
    return [
        *(_order(metric, "oneshot", model, scoring) for metric in metrics),
        *(Order(RANDOM, "oneshot", tuple(units)) for units in drawn),
        *(_order(metric, "greedy", model, scoring) for metric in looking),
    ]


def _order(metric: str, strategy: str, model: VideoTransformer, scoring: Scoring) -> Order:
    steps = len(units_of(model, scoring.cfg.scope)) - 1
    scorings = 1 if strategy == "oneshot" else steps
    hidden = not scoring.trainer.is_global_zero
    with Progress(disable=hidden) as bar:
        task = bar.add_task(f"{metric}, {strategy}", total=scorings)

        def score(smaller: VideoTransformer) -> Scores:
            scores = scoring.score(smaller, metric, progress=False)
            bar.advance(task)
            return scores

        plan = choose(
            model,
            steps,
            score,
            lambda scores: scoring.rank(scores, metric),
            at_once=None if strategy == "oneshot" else 1,
        )
    return Order(metric, strategy, tuple(map(str, plan.dropped)))


def write_curves(
    run: Run, cfg: Prune, found: DropCurves, data: VideoDataModule, model_title: str
) -> CurveTable:
    """Write which videos are right after 0, 1, ... dropped units, Top-1 and charts of it.

    Args:
        run: whose directory and tracker.
        cfg: of the job.
        found: after the test.
        data: the videos.
        model_title: what the model is called in tables.
    """
    (val, val_hits), (test, test_hits) = found.val, found.test
    curves = Curves(
        metric=np.array([order.metric for order in found.orders]),
        strategy=np.array([order.strategy for order in found.orders]),
        units=np.array([order.units for order in found.orders], dtype=np.str_),
        val=val_hits,
        test=test_hits,
        val_videos=np.array(data.splits["val"].names)[val],
        test_videos=np.array(data.splits["test"].names)[test],
    )
    curves.save(run.directory / CURVES)
    with replacing(run.directory / "curves.csv") as temporary:
        curves.table().to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    group = Group(cfg.model.name, title=model_title, scope=cfg.scope)
    measured = Measured(group, data.name, cfg.direction, [cfg.seed], [curves])
    chart = curves_chart(measured)
    for ending in ("png", "svg"):
        chart.write(run.directory / f"curves.{ending}")
    table = CurveTable(measured, compare_curves([curves]))
    figures = table.figures.astype(object).where(table.figures.notna(), None)
    run.tracker.image("curves/chart", run.directory / "curves.png")
    run.tracker.table("curves/figures", list(figures), figures.to_numpy().tolist())
    run.tracker.series(
        "curves/k",
        {
            f"curves/{strategy}/{metric}": curves.test[curves.of((strategy, metric))]
            .mean((0, 2))
            .tolist()
            for strategy, metric in curves.ways
        },
    )
    return table
