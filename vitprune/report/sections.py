"""Which charts a page has of a sweep: in each section small ones, by what they are about."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from vitprune.report import charts
from vitprune.report.formats import p_text, signed
from vitprune.report.style import Chart
from vitprune.results.agreement import relevance_by_metric
from vitprune.results.curves import RANDOM, SHARES, Measured
from vitprune.results.front import Front
from vitprune.results.groups import ordered, rank
from vitprune.results.paper import DATASETS, METRICS, TITLES, called, counted, title
from vitprune.results.reading import Sweep, card_of, dropped, read_history, smallest
from vitprune.results.safety import NOTABLE

COSTS = (
    ("flops", "FLOPs per clip", "G", 1e9),
    ("latency_ms", "latency per clip", "ms", 1.0),
    ("parameters", "parameters", "M", 1e6),
)


def by_place(sweep: Sweep) -> Iterator[tuple[str, pd.DataFrame]]:
    """The finished cells of each dataset, model and varying settings, by a name: ``MViT, DAI``."""
    cells = sweep.finished
    settings = cells["group"].map(lambda group: group.varying)
    places = cells.groupby(["dataset", "model", settings], sort=False)
    in_order = sorted(places, key=lambda item: rank(item[0][0], DATASETS))  # stable
    for (dataset, _, varying), found in in_order:
        yield ", ".join([found["group"].iloc[0].title, title(dataset), *varying]), found


def relevance(sweep: Sweep) -> dict[str, Chart]:
    """Relevance of every unit."""
    found = {}
    for place, cells in by_place(sweep):
        scores = relevance_by_metric(cells)
        if not scores:
            continue
        scope = cells["group"].iloc[0].scope
        every: dict[str, dict[str, set[str]]] = {}
        for cell in cells.itertuples():
            gone = every.setdefault(cell.metric, {}).setdefault(cell.direction, set())
            gone.update(dropped(cell.results))
        found[place] = charts.relevance(
            f"Relevance of the {called(scope)} of {place}",
            list(next(iter(scores.values())).index),
            {metric: values["mean"].to_numpy() for metric, values in scores.items()},
            {metric: values["error"].to_numpy() for metric, values in scores.items()},
            every,
            scope,
        )
    return found


def curves(found: Sequence[Measured]) -> dict[str, Chart]:
    """Top-1 over the number of dropped units by every metric, where it was measured."""
    return {f"{one.place}, {one.direction} first": curves_chart(one) for one in found}


def curves_chart(found: Measured) -> Chart:
    """The curves of a model on a dataset: a panel for each strategy, a line for each metric."""
    panels = found.top1()
    names = dict.fromkeys(metric for lines in panels.values() for _, metric in lines if metric)
    marks = {f"{100 * share:.0f} %": share * found.full() for share in SHARES}
    scope = found.group.scope
    name = f"Top-1 over dropped {called(scope)}: {found.place}"
    return charts.curves(name, panels, [*names], marks, scope)


def over_k(sweep: Sweep) -> dict[str, Chart]:
    """Top-1 over the number of dropped units, where cells differ in it."""
    metrics = ordered(sweep.finished["metric"], METRICS)
    found = {}
    for place, cells in by_place(sweep):
        lines: dict[tuple[str, str], dict[int, Any]] = {}
        for cell in cells.itertuples():
            line = lines.setdefault((cell.direction, cell.metric), {})
            line |= {0: cell.results["full"]["top1"], cell.k: cell.results["pruned"]["top1"]}
        shown = {key: line for key, line in lines.items() if len(line) > 2}
        if shown:
            scope = cells["group"].iloc[0].scope
            name = f"Top-1 over dropped {called(scope)}: {place}"
            found[place] = charts.curves(name, {"": shown}, metrics, scope=scope)
    return found


def recovery(sweep: Sweep) -> dict[str, Chart]:
    """Top-1 over the number of dropped units, as dropped and after every recovery."""
    found = {}
    for place, cells in by_dataset_model_and_scope(sweep):
        if (cells["recovery"] == "").all():
            continue
        panels: dict[str, dict[str, dict[int, dict[Hashable, float]]]] = {}
        videos = int(cells["paired.videos"].min())
        for cell in cells.itertuples():
            way = cell.metric if cell.metric == RANDOM else f"{cell.direction} {cell.metric}"
            lines = panels.setdefault(way, {})
            models = {DROPPED: "pruned"} | ({cell.recovery: "recovered"} if cell.recovery else {})
            for name, model in models.items():
                points = lines.setdefault(name, {}).setdefault(cell.k, {})
                # The last ones of a random order are another draw.
                draw = (cell.results["seed"], cell.direction)
                points[draw] = cell.results[model]["top1"]
        full = {results["seed"]: results["full"]["top1"] for results in cells["results"]}
        name = f"Top-1 before and after recovery: {place}"
        scope = cells["group"].iloc[0].scope
        found[place] = charts.recovery(name, panels, full, videos, scope)
    return found


DROPPED = "as dropped"


def front(found: Sequence[Front]) -> dict[str, Chart]:
    """Top-1 against latency of all that was made of a model."""
    return {one.heading: front_chart(one) for one in found}


def front_chart(found: Front) -> Chart:
    """The chart of a model on a dataset."""
    return charts.front(f"Top-1 against latency: {found.heading}", found)


def safety(sweep: Sweep) -> Safety | None:
    """What smaller models cost whom; None where no cell says."""
    cells = [
        (cell, card) for cell in sweep.finished.itertuples() if (card := card_of(cell.results))
    ]
    if not cells:
        return None
    if not sweep.single:
        rows = [
            [
                cell.group.title, title(cell.dataset), cell.direction,
                ", ".join(filter(None, [cell.metric, cell.recovery])), str(cell.k),
                ", ".join(f"{one.name} {signed(one.points, 1)}" for one in card.lost()) or "none",
                f"{100 * card.ece['full']:.1f} → {100 * card.ece['smaller']:.1f}",
            ]
            for cell, card in cells
        ]  # fmt: skip
        return Safety({}, {f"Classes that lost more than {NOTABLE:g} points": (SWEEP, rows)}, [])
    ((cell, card),) = cells
    name = smallest(cell.results)
    classes = card.groups.get("class", ())
    picture = "Recall of every class"
    pictures = {picture: charts.safety(picture, classes, name)} if classes else {}
    tables = {
        f"By {kind}": (
            [kind.capitalize(), "Videos", "Full", name.capitalize(), "Change", "Turned wrong",
             "Turned right", "p", "p (Holm)"],
            [
                [one.name, str(one.videos), f"{100 * one.full:.1f}", f"{100 * one.smaller:.1f}",
                 signed(one.points, 1), str(one.right_to_wrong), str(one.wrong_to_right),
                 p_text(one.p_value), p_text(one.p_holm)]
                for one in changes
            ],
        )
        for kind, changes in card.groups.items()
    }  # fmt: skip
    flips = [[flip.video, flip.label, flip.prediction] for flip in card.flips]
    return Safety(pictures, tables, flips)


class Safety(NamedTuple):
    """The section of what smaller models cost whom.

    Attributes:
        charts: by name.
        tables: name -> header and rows.
        flips: rows of the videos that turned wrong: video, label, prediction.
    """

    charts: dict[str, Chart]
    tables: dict[str, tuple[list[str], list[list[str]]]]
    flips: list[list[str]]


SWEEP = ["Model", "Dataset", "Relevance", "Metric", "k", "Points lost by class", "ECE (%)"]


def by_dataset_model_and_scope(sweep: Sweep) -> Iterator[tuple[str, pd.DataFrame]]:
    """The finished cells of each dataset, model and scope, whatever their seed: ``MViT, DAI``;
    with the scope where there are several."""
    scopes = sweep.finished["group"].map(lambda group: group.scope)
    several = scopes.nunique() > 1
    for (dataset, _, scope), found in sweep.finished.groupby(
        ["dataset", "model", scopes], sort=False
    ):
        parts = [found["group"].iloc[0].title, title(dataset), *[called(scope)] * several]
        yield ", ".join(parts), found


def costs(sweep: Sweep) -> dict[str, Chart]:
    """Top-1 against FLOPs, latency and parameters.

    The controls (direction=highest) are left out: nobody would use them.
    """
    cells = sweep.finished[sweep.finished["direction"] == "lowest"]
    models = ordered(cells["model"], [*TITLES])
    found = {}
    for dataset in ordered(cells["dataset"], DATASETS):
        by_model = cells[cells["dataset"] == dataset].groupby("model", sort=False)
        for key, label, unit, scale in COSTS:
            costings = [
                _costing(of_one, models.index(model), key, scale) for model, of_one in by_model
            ]
            name = f"{title(dataset)}: Top-1 against {label}"
            found[f"{title(dataset)}: {label}"] = charts.costs(name, costings, f"{label} ({unit})")
    return found


def _costing(cells: pd.DataFrame, number: int, key: str, scale: float) -> charts.Costing:
    name = cells["group"].iloc[0].title
    cost = median(cells[f"full.{key}"]) / scale
    # Latency is measured against the full model's in turns; the proportion is what holds
    # whatever else the machine did at that time. The other costs are the same every time.
    pruned = []
    for cell in cells.itertuples():
        own = cell.results[smallest(cell.results)]
        label = f"{name} without {counted(cell.k, cell.group.scope)}, lowest {cell.metric}"
        label += f", recovered by {cell.recovery}" if cell.recovery else ""
        share = own[key] / cell.results["full"][key]
        pruned.append((label, (share * cost, 100 * own["top1"])))
    return charts.Costing(name, (cost, 100 * cells["full.top1"].iloc[0]), pruned, number)


def training(sweep: Sweep) -> dict[str, Chart]:
    """Top-1 on the val split and loss on the train split over the epochs of fine-tuning."""
    found = {}
    for place, cells in by_place(sweep):
        histories = (read_history(results["ckpt"]) for results in cells["results"])
        history = next((history for history in histories if len(history)), pd.DataFrame())
        strips = {
            label: scale * values
            for value, label, scale in (
                ("val/top1", "val Top-1 (%)", 100.0),
                ("train/loss", "train loss", 1.0),
            )
            if len(values := _by_epoch(history, value))
        }
        if strips:
            plain = {label: values.to_dict() for label, values in strips.items()}
            found[place] = charts.training(f"Fine-tuning of {place}", plain)
    return found


def _by_epoch(history: pd.DataFrame, name: str) -> Any:
    """The mean of a logged value in every epoch that has one; epochs count from 1."""
    names = [found for found in (name, f"{name}_epoch", f"{name}_step") if found in history]
    if not names:
        return pd.Series()
    values = history[names].bfill(axis=1).iloc[:, 0]
    return values.groupby(history["epoch"].astype("Int64") + 1).mean().dropna()
