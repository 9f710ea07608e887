"""The charts of a report: what is drawn of a sweep's cells, as SVG.

Every chart is a small one for one model and dataset, so that a page lays them side by side where
there is room and below each other on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean, median
from typing import Any, NamedTuple

from markupsafe import Markup

from vitprune.report.svg import MARKERS, Drawing, Point, Scale, nice_ticks
from vitprune.results.agreement import relevance_by_metric
from vitprune.results.paper import DATASETS, DIRECTIONS, METRICS, TITLES, layers, title
from vitprune.results.reading import Cell, Sweep
from vitprune.results.table1 import group_of, ordered, varying

WIDTH = 340.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 26.0, 40.0
UNITS = {"JSD": "bits"}
DIRECTION_MARKERS = {"lowest": "down", "highest": "triangle"}


@dataclass(frozen=True)
class Chart:
    """A chart and what stands above it."""

    heading: str
    svg: Markup


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a marker, a line, or both."""

    label: str
    kind: str
    shape: str = ""
    line: bool = False

    @property
    def svg(self) -> Markup:
        """The entry's picture, 26 x 14."""
        drawing = Drawing(26, 14, self.label)
        if self.line:
            drawing.line([(1, 7), (25, 7)], self.kind)
        if self.shape:
            drawing.marker(self.shape, 13, 7, self.kind, size=4)
        return Markup("".join(drawing.parts))


@dataclass(frozen=True)
class Figure:
    """Charts that share a legend."""

    charts: Sequence[Chart]
    legend: Sequence[Key]


class Place(NamedTuple):
    """What a chart is about: a model on a dataset, and settings that vary within the sweep."""

    dataset: str
    model: str
    extras: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """``MViT, DAI``."""
        extras = (f"{name}={value}" for name, value in self.extras)
        return ", ".join([title(self.model), title(self.dataset), *extras])


def by_place(cells: Sequence[Cell]) -> dict[Place, list[Cell]]:
    """Cells by what they are about, in the paper's order."""
    names = varying(cell.settings for cell in cells)
    found: dict[Place, list[Cell]] = {}
    for cell in cells:
        settings = cell.settings
        extras = group_of(settings, names).extras
        found.setdefault(Place(settings.dataset, settings.model, extras), []).append(cell)
    models = ordered({place.model for place in found}, [*TITLES])
    datasets = ordered({place.dataset for place in found}, DATASETS)

    def order(place: Place) -> tuple[int, int, str]:
        return datasets.index(place.dataset), models.index(place.model), str(place.extras)

    return {place: found[place] for place in sorted(found, key=order)}


def relevance(sweep: Sweep) -> Figure:
    """Relevance of every layer, one chart a model and dataset, one strip a metric.

    A triangle that points down marks a layer that goes when the lowest are dropped by that
    metric, one that points up a layer that goes with the highest.
    """
    charts, directions = [], set()
    for place, cells in by_place(sweep.cells).items():
        found = relevance_by_metric(cells)
        if not found:
            continue
        dropped: dict[tuple[str, str], set[int]] = {}
        for cell in cells:
            key = (cell.settings.metric, cell.settings.direction)
            dropped.setdefault(key, set()).update(cell.results["dropped"])
            directions.add(cell.settings.direction)
        charts.append(Chart(place.name, _relevance(place, found, dropped)))
    legend = [Key("relevance, mean over the calibration clips ± standard error", "bar", "square")]
    legend += [
        Key(f"dropped with direction={which}", which, DIRECTION_MARKERS[which])
        for which in DIRECTIONS
        if which in directions
    ]
    return Figure(charts, legend)


def _relevance(
    place: Place, found: Mapping[str, Any], dropped: Mapping[tuple[str, str], set[int]]
) -> Markup:
    strip, gap = 86.0, 34.0
    height = TOP + len(found) * (strip + gap) + 22
    drawing = Drawing(WIDTH, height, f"Relevance of the layers of {place.name}")
    says = []
    units = next(iter(found.values()))[0]
    step = (WIDTH - LEFT - RIGHT) / len(units)
    for number, (metric, (_, mean, error)) in enumerate(found.items()):
        top = TOP + number * (strip + gap)
        goes = {which: dropped.get((metric, which), set()) for which in DIRECTIONS}
        _relevance_strip(drawing, top, top + strip, metric, units, mean, error, goes)
        says += [
            f"{metric}: dropped with {which}: {', '.join(map(str, sorted(gone)))}."
            for which, gone in goes.items()
            if gone
        ]
    every = 1 if len(units) <= 16 else 2
    for i, name in enumerate(units):
        if i % every == 0:
            drawing.text(LEFT + (i + 0.5) * step, height - 22, name, "tick", "middle")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, height - 6, "layer", "label", "middle")
    drawing.description = " ".join(says)
    return Markup(drawing.render())


def _relevance_strip(
    drawing: Drawing,
    top: float,
    bottom: float,
    metric: str,
    units: Sequence[str],
    mean: Sequence[float],
    error: Sequence[float],
    goes: Mapping[str, set[int]],
) -> None:
    """The bars of one metric; ``goes`` has the layers dropped with either direction."""
    step = (WIDTH - LEFT - RIGHT) / len(units)
    spread = [0.0 if isnan(value) else value for value in error]  # of a single clip
    low = min(0.0, *(m - e for m, e in zip(mean, spread, strict=True)))
    high = max(0.0, *(m + e for m, e in zip(mean, spread, strict=True))) or 1.0
    # A little below zero needs no tick.
    ticks = [tick for tick in nice_ticks(low, high, 4) if tick >= low]
    y = Scale(low - 0.03 * (high - low), max(high, ticks[-1]), bottom, top)
    unit = f" ({UNITS[metric]})" if metric in UNITS else ""
    drawing.y_axis(y, LEFT, WIDTH - RIGHT, ticks, f"{metric}{unit}")
    for i, (name, value, deviation) in enumerate(zip(units, mean, spread, strict=True)):
        layer = int(name.split(".")[0])
        marks = [which for which in DIRECTIONS if layer in goes[which]]
        kind = marks[0] if marks else "kept"
        x = LEFT + i * step
        if marks:
            drawing.rectangle(x, top, step, bottom - top, f"band {kind}")
        tip = f"layer {name}: {metric} {value:.4f} ± {deviation:.4f}"
        start, end = sorted((y(0.0), y(value)))
        drawing.rectangle(x + 0.16 * step, start, 0.68 * step, end - start, f"bar {kind}", tip)
        middle = x + step / 2
        drawing.line([(middle, y(value - deviation)), (middle, y(value + deviation))], "error")
        for which in marks:
            drawing.marker(DIRECTION_MARKERS[which], middle, bottom + 7, which, tip, 3.2)
    drawing.line([(LEFT, y(0.0)), (WIDTH - RIGHT, y(0.0))], "axis")


def curves(sweep: Sweep) -> Figure:
    """Top-1 over the number of dropped layers, where it was measured for more than one number."""
    charts, seen = [], set()
    for place, cells in by_place(sweep.cells).items():
        series = _curves(cells)
        if not series and not any(cell.curve for cell in cells):
            continue
        bands = [cell.curve["top1"]["random"] for cell in cells if cell.curve]
        band = bands[0] if bands and bands[0] else []
        charts.append(Chart(place.name, _curve_chart(place, series, band)))
        seen |= {*series} | ({("", "random")} if band else set())
    metrics = ordered({metric for metric, _ in seen if metric}, METRICS)
    legend = [
        Key(f"{direction} {metric}", direction, _shape(metric), line=True)
        for direction in DIRECTIONS
        for metric in metrics
        if (metric, direction) in seen
    ]
    if ("", "random") in seen:
        legend.append(Key("layers at random: mean and range", "random", "", line=True))
    return Figure(charts, legend)


def _curves(cells: Sequence[Cell]) -> dict[tuple[str, str], dict[int, float]]:
    """(metric, direction) -> number of dropped layers -> Top-1 in [0, 1]; two numbers at least."""
    series: dict[tuple[str, str], dict[int, float]] = {}
    for cell in cells:
        settings = cell.settings
        if cell.curve:
            for direction in DIRECTIONS:
                for order in cell.curve["top1"].get(direction, [])[:1]:
                    series.setdefault((settings.metric, direction), {}).update(enumerate(order))
        points = {0: cell.results["full"]["top1"], settings.k: cell.results["pruned"]["top1"]}
        series.setdefault((settings.metric, settings.direction), {}).update(points)
    return {
        key: dict(sorted(points.items()))
        for key, points in series.items()
        if len(points) > 2 or any(cell.curve and cell.settings.metric == key[0] for cell in cells)
    }


def _curve_chart(
    place: Place,
    series: Mapping[tuple[str, str], Mapping[int, float]],
    band: Sequence[Sequence[float]],
) -> Markup:
    height = 230.0
    most = max(max(points) for points in series.values())
    drawing = Drawing(WIDTH, height, f"Top-1 over dropped layers: {place.name}")
    x = Scale(0, most, LEFT + 6, WIDTH - RIGHT - 6)
    y = Scale(0, 100, height - BOTTOM, TOP)
    drawing.y_axis(y, LEFT, WIDTH - RIGHT, [0, 25, 50, 75, 100], "Top-1 (%)")
    drawing.x_axis(x, height - BOTTOM, range(0, most + 1, 1 + most // 13), "dropped layers")
    if band:
        ks = range(len(band[0]))
        columns = [[100 * order[k] for order in band] for k in ks]
        upper = [(x(k), y(max(columns[k]))) for k in ks]
        lower = [(x(k), y(min(columns[k]))) for k in reversed(ks)]
        drawing.area([*upper, *lower], "random")
        drawing.line([(x(k), y(fmean(columns[k]))) for k in ks], "random")
    says = []
    for (metric, direction), points in sorted(series.items(), key=lambda item: item[0][1]):
        drawing.line([(x(k), y(100 * top1)) for k, top1 in points.items()], direction)
        for k, top1 in points.items():
            tip = f"{direction} {metric}, {k} dropped: {100 * top1:.2f} %"
            drawing.marker(_shape(metric), x(k), y(100 * top1), direction, tip)
        last = max(points)
        says.append(
            f"{direction} {metric}: {100 * points[last]:.1f} % after {last} of them are dropped."
        )
    drawing.description = " ".join(says)
    return Markup(drawing.render())


def costs(sweep: Sweep) -> Figure:
    """Top-1 against FLOPs, latency and parameters, full and pruned models, with the Pareto front.

    The controls (direction=highest) are left out: nobody would use them.
    """
    cells = [cell for cell in sweep.cells if cell.settings.direction == "lowest"]
    models = ordered({cell.settings.model for cell in cells}, [*TITLES])
    datasets = ordered({cell.settings.dataset for cell in cells}, DATASETS)
    charts = []
    for dataset in datasets:
        by_model: dict[str, list[Cell]] = {}
        for cell in cells:
            if cell.settings.dataset == dataset:
                by_model.setdefault(cell.settings.model, []).append(cell)
        for key, label, unit, scale in (
            ("flops", "FLOPs per clip", "G", 1e9),
            ("latency_ms", "latency per clip", "ms", 1.0),
            ("parameters", "parameters", "M", 1e6),
        ):
            name = f"{title(dataset)}: Top-1 against {label}"
            svg = _cost_chart(name, by_model, models, key, f"{label} ({unit})", scale)
            charts.append(Chart(f"{title(dataset)}: {label}", svg))
    legend = [Key(title(model), *_series(number)) for number, model in enumerate(models)]
    legend += [
        Key("full model: filled; pruned: hollow", "plain", "circle"),
        Key("Pareto front", "front", "", line=True),
    ]
    return Figure(charts, legend if charts else [])


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those (cost, gain) that no other one beats in both, by ascending cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _cost_points(
    by_model: Mapping[str, Sequence[Cell]], key: str, scale: float
) -> tuple[dict[str, Point], list[tuple[str, Cell, Point]]]:
    """(cost, Top-1 in percent) of every full model and of every pruned one."""
    full: dict[str, Point] = {}
    pruned = []
    for model, cells in by_model.items():
        cost = median(cell.results["full"][key] for cell in cells) / scale
        full[model] = (cost, 100 * cells[0].results["full"]["top1"])
        for cell in cells:
            # Latency is measured against the full model's in turns; the proportion is what holds
            # whatever else the machine did at that time. The other costs are the same every time.
            share = cell.results["pruned"][key] / cell.results["full"][key]
            pruned.append((model, cell, (share * cost, 100 * cell.results["pruned"]["top1"])))
    return full, pruned


def _cost_chart(
    name: str,
    by_model: Mapping[str, Sequence[Cell]],
    models: Sequence[str],
    key: str,
    label: str,
    scale: float,
) -> Markup:
    full, pruned = _cost_points(by_model, key, scale)
    points = [*full.values(), *(point for *_, point in pruned)]
    height = 230.0
    drawing = Drawing(WIDTH, height, name)
    ticks = nice_ticks(0, 1.02 * max(cost for cost, _ in points), 5)
    x = Scale(0, ticks[-1], LEFT + 6, WIDTH - RIGHT - 6)
    gains = [gain for _, gain in points]
    least, most = max(0.0, min(gains) - 3), min(100.0, max(gains) + 3)
    grid = [tick for tick in nice_ticks(least, most, 5) if tick <= most]
    y = Scale(min(grid[0], least), most + 0.04 * (most - least), height - BOTTOM, TOP)
    drawing.y_axis(y, LEFT, WIDTH - RIGHT, grid, "Top-1 (%)")
    drawing.x_axis(x, height - BOTTOM, ticks, label)
    front = pareto(points)
    steps = [(x(front[0][0]), height - BOTTOM)]
    for cost, gain in front:
        steps += [(x(cost), steps[-1][1]), (x(cost), y(gain))]
    drawing.line([*steps, (WIDTH - RIGHT, steps[-1][1])], "front")
    for model, _, end in pruned:
        drawing.line([(x(cost), y(gain)) for cost, gain in (full[model], end)], "lead")
    for model, cell, (cost, gain) in pruned:
        kind, shape = _series(models.index(model))
        tip = f"{title(model)} without {layers(cell.settings.k)}, lowest {cell.settings.metric}"
        tip += f": {gain:.2f} % at {cost:.3g} {label}"
        drawing.marker(shape, x(cost), y(gain), f"hollow {kind}", tip, 4.2)
    says = []
    for model, (cost, gain) in full.items():
        kind, shape = _series(models.index(model))
        tip = f"{title(model)}, full: {gain:.2f} % at {cost:.3g} {label}"
        says.append(f"{tip}.")
        drawing.marker(shape, x(cost), y(gain), kind, tip, 4.2)
    drawing.description = " ".join(says)
    return Markup(drawing.render())


def training(sweep: Sweep) -> Figure:
    """Top-1 on the val split and loss on the train split over the epochs of fine-tuning."""
    charts = []
    for place, cells in by_place(sweep.cells).items():
        strips = []
        history = next((cell.history for cell in cells if cell.history), [])
        for name, label, scale in (
            ("val/top1", "val Top-1 (%)", 100.0),
            ("train/loss", "train loss", 1.0),
        ):
            points = _by_epoch(history, name)
            if points:
                strips.append((label, [(epoch, scale * value) for epoch, value in points]))
        if strips:
            charts.append(Chart(place.name, _training(place, strips)))
    return Figure(charts, [])


def _by_epoch(history: Sequence[Mapping[str, str]], name: str) -> list[tuple[int, float]]:
    """The mean of a logged value in every epoch that has one; epochs count from 1."""
    epochs: dict[int, list[float]] = {}
    for row in history:
        value = next((row[n] for n in (name, f"{name}_epoch", f"{name}_step") if row.get(n)), "")
        if value and row.get("epoch"):
            epochs.setdefault(int(row["epoch"]) + 1, []).append(float(value))
    return [(epoch, fmean(values)) for epoch, values in sorted(epochs.items())]


def _training(place: Place, strips: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> Markup:
    strip, gap = 92.0, 28.0
    bottom = TOP + len(strips) * (strip + gap) - gap
    drawing = Drawing(WIDTH, bottom + 36, f"Fine-tuning of {place.name}")
    last = max(epoch for _, points in strips for epoch, _ in points)
    x = Scale(0, last, LEFT + 2, WIDTH - RIGHT - 6)
    says = []
    for number, (label, points) in enumerate(strips):
        top = TOP + number * (strip + gap)
        percent = "%" in label
        ticks = nice_ticks(0, 100 if percent else max(value for _, value in points), 4)
        y = Scale(0, max(ticks[-1], 1e-9), top + strip, top)
        drawing.y_axis(y, LEFT, WIDTH - RIGHT, ticks, label)
        drawing.line([(x(epoch), y(value)) for epoch, value in points], "lowest")
        for epoch, value in points:
            tip = f"epoch {epoch}: {label} {value:.4g}"
            drawing.marker("circle", x(epoch), y(value), "lowest", tip, 2.4)
        says.append(f"{label}: {points[-1][1]:.4g} after epoch {points[-1][0]}.")
    ticks = [tick for tick in nice_ticks(0, last, 6) if tick == int(tick) and tick <= last]
    drawing.x_axis(x, bottom, ticks, "epoch")
    drawing.description = " ".join(says)
    return Markup(drawing.render())


def _series(number: int) -> tuple[str, str]:
    """Class and marker of a model, by its number among those shown."""
    number %= len(MARKERS)
    return f"series-{number}", MARKERS[number]


def _shape(metric: str) -> str:
    names = [*METRICS, metric]
    return ("square", "diamond", "circle", "cross")[names.index(metric)]
