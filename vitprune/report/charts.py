"""The charts of tables and pages: each is drawn here, and nowhere else, from plain values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from vitprune.report.style import COLOURS, DIRECTION, MARKERS, PALETTE, WIDTH, Chart, styled, tip
from vitprune.results.front import KINDS, Front, Point, Way, non_dominated
from vitprune.results.groups import ordered
from vitprune.results.paper import METRICS, called
from vitprune.results.safety import NOTABLE, Change
from vitprune.results.statistics import proportion_interval

UNITS = {"JSD": "bits"}
POINTS = {"lowest": "v", "highest": "^"}
WAYS = ("lowest", "highest", "random")
WIDEST = 14.0
"""Of a chart with many bars, in inches."""
LETTERS = 18
"""Of tick labels, that fit into an inch."""
TALL = 2.3
"""Of a chart with one panel, without its legend, in inches."""


@styled
def relevance(
    title: str,
    units: Sequence[str],
    mean: Mapping[str, NDArray[np.float64]],
    error: Mapping[str, NDArray[np.float64]],
    dropped: Mapping[str, Mapping[str, Iterable[str]]],
    scope: str = "layer",
) -> Chart:
    """Bars of the units' relevance, a strip a metric, each with its own scale.

    A triangle that points down marks a unit that goes when the lowest are dropped by that metric,
    one that points up a unit that goes with the highest.

    Args:
        title: of the chart.
        units: names in order, of U units.
        mean: metric -> mean over the calibration clips, [U].
        error: metric -> standard error of that mean, [U]; nan of a single clip.
        dropped: metric -> direction -> the units that go.
        scope: of the units.
    """
    width = min(max(WIDTH, 0.13 * len(units) + 0.6), WIDEST)
    figure = Figure(figsize=(width, 1.05 * len(mean) + 0.5))
    axes = figure.subplots(len(mean), 1, sharex=True, squeeze=False)[:, 0]
    says, seen, kind = [], set(), called(scope, 1)
    for axis, metric in zip(axes, mean, strict=True):
        spread = np.nan_to_num(error[metric])
        bars = axis.bar(
            range(len(units)), mean[metric], 0.68, color=COLOURS["kept"], yerr=spread,
            error_kw={"ecolor": COLOURS["ink"], "elinewidth": 0.8},
        )  # fmt: skip
        tips = [
            f"{kind} {unit}: {metric} {value:.4f} ± {deviation:.4f}"
            for unit, value, deviation in zip(units, mean[metric], spread, strict=True)
        ]
        for bar, text in zip(bars, tips, strict=True):
            bar.set_gid(tip(text))
        for direction, colour in DIRECTION.items():
            gone = set(dropped.get(metric, {}).get(direction, ()))
            for i in [i for i, unit in enumerate(units) if unit in gone]:
                axis.axvspan(i - 0.5, i + 0.5, color=colour, alpha=0.13, lw=0)
                bars[i].set_color(colour)
                axis.plot(
                    i, 1.05, POINTS[direction], color=colour, clip_on=False, ms=4,
                    transform=axis.get_xaxis_transform(), gid=tip(f"{direction}, {tips[i]}"),
                )  # fmt: skip
            if gone:
                seen.add(direction)
                shown = ", ".join(unit for unit in units if unit in gone)
                says.append(f"{metric}: dropped with {direction}: {shown}.")
        axis.axhline(0, color=COLOURS["muted"], lw=0.8)
        axis.set_ylabel(f"{metric} ({UNITS[metric]})" if metric in UNITS else metric)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.grid(axis="y")
    layers = [place for place, unit in enumerate(units) if unit.isdigit()]
    labelled = layers or [*range(len(units))]  # of units of all kinds, layers tell where one is
    room = width * LETTERS / (1 + max(len(units[place]) for place in labelled))
    labelled = labelled[:: ceil(len(labelled) / room)]
    axes[-1].set_xticks(labelled, [units[place] for place in labelled])
    axes[-1].set(xlabel=kind, xlim=(-0.6, len(units) - 0.4))
    handles = [
        Line2D([], [], color=DIRECTION[which], marker=POINTS[which], lw=0, label=f"{which} dropped")
        for which in DIRECTION
        if which in seen
    ]
    _legend(figure, handles, 2, "mean over the calibration clips ± standard error")
    return Chart(title, " ".join(says), figure)


Lines = Mapping[tuple[str, str], Mapping[int, ArrayLike]]
"""(direction, metric) -> how many units are dropped -> Top-1 in [0, 1], or several, [orders]."""


@styled
def curves(
    title: str,
    panels: Mapping[str, Lines],
    metrics: Sequence[str],
    marks: Mapping[str, float] | None = None,
    scope: str = "layer",
) -> Chart:
    """Top-1 over the number of dropped units: a line for every way to choose them.

    Several values at a point are a mean and a band from the smallest to the largest.

    Args:
        title: of the chart.
        panels: what stands above a panel -> its lines. Of direction ``random`` the metric says
            nothing.
        metrics: that are told apart, here and in the charts beside this one.
        marks: what is written at a level line -> its Top-1, the highest first.
        scope: of the units.
    """
    figure = Figure(figsize=(WIDTH if len(panels) == 1 else 1.15 * WIDTH * len(panels), TALL))
    if len(panels) > 1:
        figure.set_figheight(1.3 * TALL)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    directions = {way for lines in panels.values() for way, _ in lines if way != "random"}
    (only,) = directions if len(directions) == 1 else ("",)
    handles: dict[str, Any] = {}
    says, several, along = [], False, f"dropped {called(scope)}"
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        axis.grid(axis="y")
        axis.set(xlabel=f"{along}, {only} first" if only else along, title=panel)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        for i, (text, level) in enumerate((marks or {}).items()):
            axis.axhline(100 * level, color=COLOURS["kept"], lw=0.7, zorder=1)
            above = i == 0  # two of them lie close to each other
            axis.annotate(  # beside the panel, where no line is
                text, (1, 100 * level), xycoords=axis.get_yaxis_transform(),
                xytext=(2, -2 if above else 2), textcoords="offset points",
                va="bottom" if above else "top", fontsize=6.5, color=COLOURS["muted"],
            )  # fmt: skip
        for direction, metric in sorted(lines, key=lambda line: WAYS.index(line[0])):
            values = lines[direction, metric]
            dropped = sorted(values)
            percent = 100 * np.array([np.atleast_1d(values[k]) for k in dropped])
            mean = percent.mean(1)
            if direction == "random":
                name, colour = f"{called(scope)} at random", COLOURS["random"]
                look: dict[str, Any] = {"ls": ":", "zorder": 1.5}
            else:
                name = metric if only else f"{direction} {metric}"
                colour, marker = _series(metrics.index(metric))
                look = {"ls": "-", "marker": marker}
                if direction == "highest" and not only:
                    look |= {"ls": "--", "mfc": COLOURS["card"]}
            if percent.shape[1] > 1:
                several = True
                band = percent.min(1), percent.max(1)
                axis.fill_between(dropped, *band, color=colour, alpha=0.18, lw=0)
            (handles[name],) = axis.plot(dropped, mean, color=colour, label=name, **look)
            where = f"{panel}, {name}" if panel else name
            for k, value in zip(dropped, mean, strict=True):
                text = tip(f"{where}, {k} dropped: {value:.2f} %")
                axis.plot(k, value, color=colour, gid=text, **({"marker": ","} | look))
            says.append(f"{where}: {mean[-1]:.1f} % after {dropped[-1]} of them are dropped.")
    axes[0].set(ylabel="Top-1 (%)", ylim=(0, 103))
    heading = ["lines: mean, bands: range"] if several else []
    heading += [f"levels: {', '.join(marks)} of the full model's"] if marks else []
    _legend(figure, [*handles.values()], 2 if len(panels) == 1 else 4, "; ".join(heading))
    return Chart(title, " ".join(says), figure)


Points = Mapping[int, Mapping[Hashable, float]]
"""How many units are dropped -> seed, or whatever tells draws apart -> Top-1 in [0, 1]."""


@styled
def recovery(
    title: str,
    panels: Mapping[str, Mapping[str, Points]],
    full: Mapping[int, float],
    videos: int,
    scope: str = "layer",
) -> Chart:
    """Top-1 over the number of dropped units: a panel for every way to choose the units, a line
    for what is left of the model and for every recovery.

    Args:
        title: of the chart.
        panels: what stands above a panel -> what a line is called -> its points.
        full: seed -> Top-1 of the full model.
        videos: how many there are, for the interval of one seed.
        scope: of the units.
    """
    figure = Figure(figsize=(max(WIDTH, 0.62 * WIDTH * len(panels)), 1.25 * TALL))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    names.sort(key=lambda name: RECOVERIES.index(one) if (one := name.split(",")[0]) in RECOVERIES
               else len(RECOVERIES))  # fmt: skip
    handles: dict[str, Any] = {}
    says = []
    level = 100 * float(np.mean([*full.values()]))
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        axis.grid(axis="y")
        counts = sorted({k for points in lines.values() for k in points})
        axis.set(xlabel=f"dropped {called(scope)}", title=panel, xticks=counts)
        axis.set_xlim(counts[0] - 0.5, counts[-1] + 0.5)
        handles["full model"] = axis.axhline(
            level, color=COLOURS["ink"], lw=0.8, label="full model"
        )
        for i, name in enumerate(name for name in names if name in lines):
            colour, marker = _series(names.index(name))
            ks = sorted(lines[name])
            values = [np.array([*lines[name][k].values()], np.float64) for k in ks]
            mean = np.array([100 * value.mean() for value in values])
            ends = 100 * np.array([
                proportion_interval(round(float(value[0]) * videos), videos)
                if len(value) == 1 else (value.min(), value.max())
                for value in values
            ])  # fmt: skip
            shift = 0.08 * (i - (len(lines) - 1) / 2)  # so that bars do not hide each other
            handles[name] = axis.errorbar(
                np.array(ks) + shift, mean, yerr=(mean - ends[:, 0], ends[:, 1] - mean),
                color=colour, marker=marker, ms=3.5, lw=1.1, elinewidth=0.8, label=name,
            )  # fmt: skip
            for k, value, (low, high) in zip(ks, mean, ends, strict=True):
                text = tip(f"{panel}, {name}, {k} dropped: {value:.2f} % ({low:.1f} to {high:.1f})")
                axis.plot(k + shift, value, ",", color=colour, gid=text)
            told = "; ".join(f"{k} dropped {v:.1f} %" for k, v in zip(ks, mean, strict=True))
            says.append(f"{panel}, {name}: {told}.")
    axes[0].set(ylabel="Top-1 (%)", ylim=(0, 103))
    _legend(figure, [*handles.values()], 3, "")
    return Chart(title, " ".join(says), figure)


@styled
def safety(title: str, changes: Sequence[Change], smaller: str) -> Chart:
    """Recall of every class with the full model and a smaller one, the heaviest loss on top.

    Args:
        title: of the chart.
        changes: of the classes.
        smaller: what the smaller model is called.
    """
    figure = Figure(figsize=(1.3 * WIDTH, 0.19 * len(changes) + 0.9))
    axis = figure.subplots()
    axis.grid(axis="x")
    says = []
    for row, one in enumerate(changes):
        before, after = 100 * one.full, 100 * one.smaller
        colour = COLOURS["red"] if one.points < -NOTABLE - 1e-9 else COLOURS["blue"]
        told = (
            f"{one.name} ({one.videos} videos): {before:.1f} to {after:.1f} %, "
            f"p after Holm {one.p_holm:.2g}"
        )
        axis.plot([before, after], [row, row], color=colour, lw=1.6, zorder=2)
        axis.plot(before, row, "o", color=COLOURS["kept"], ms=4, zorder=3)
        axis.plot(after, row, "D", color=colour, ms=4, zorder=3, gid=tip(told))
        says.append(f"{told}.")
    axis.set_yticks(range(len(changes)), [one.name for one in changes])
    axis.set(xlim=(-2, 102), ylim=(len(changes) - 0.5, -0.5), xlabel="recall (%)")
    handles = [
        Line2D([], [], color=colour, marker=marker, lw=0, label=label)
        for colour, marker, label in (
            (COLOURS["kept"], "o", "full"),
            (COLOURS["blue"], "D", smaller),
            (COLOURS["red"], "D", f"{smaller}, lost more than {NOTABLE:g} points"),
        )
    ]
    _legend(figure, handles, 3, "")
    return Chart(title, " ".join(says), figure)


RECOVERIES = ("as dropped", "linear", "distill", "finetune")
"""In the order of lines."""


@dataclass(frozen=True)
class Costing:
    """What one model costs and what Top-1 it has, full and pruned.

    Attributes:
        name: of the model.
        full: (cost, Top-1 in percent).
        pruned: the same of every pruned one, by what it is called.
        number: what it is told apart by, in all charts.
    """

    name: str
    full: tuple[float, float]
    pruned: Sequence[tuple[str, tuple[float, float]]]
    number: int


@styled
def costs(title: str, models: Sequence[Costing], label: str) -> Chart:
    """Top-1 against a cost, full and pruned models, with the Pareto front.

    Args:
        title: of the chart.
        models: what is shown.
        label: of the cost, with its unit.
    """
    figure, axis = _panel()
    everyone = [point for model in models for point in (model.full, *(p for _, p in model.pruned))]
    front = [everyone[i] for i in non_dominated(everyone)]
    right = 1.06 * max(cost for cost, _ in everyone)
    lowest, highest = min(gain for _, gain in everyone), max(gain for _, gain in everyone)
    axis.set(xlabel=label, ylabel="Top-1 (%)", xlim=(0, right))
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_ylim(max(-1.0, lowest - 3), min(102.0, highest + 3))
    axis.step(
        [front[0][0], *(cost for cost, _ in front), right],
        [axis.get_ylim()[0], *(gain for _, gain in front), front[-1][1]],
        "--", where="post", color=COLOURS["green"], lw=1.1,
    )  # fmt: skip
    says = []
    for model in models:
        colour, marker = _series(model.number)
        for _, end in model.pruned:
            axis.plot(*zip(model.full, end, strict=True), color=COLOURS["kept"], lw=0.8)
        for name, (cost, gain) in model.pruned:
            text = tip(f"{name}: {gain:.2f} % at {cost:.3g} {label}")
            axis.plot(cost, gain, marker, color=colour, mfc=COLOURS["card"], ms=5.5, gid=text)
        cost, gain = model.full
        says.append(f"{model.name}, full: {gain:.2f} % at {cost:.3g} {label}")
        axis.plot(cost, gain, marker, color=colour, ms=5.5, gid=tip(says[-1]))
    handles = [
        Line2D([], [], color=_series(m.number)[0], marker=_series(m.number)[1], lw=0, label=m.name)
        for m in models
    ]
    handles += [
        Line2D([], [], color=COLOURS["muted"], mfc=face, marker="o", lw=0, label=name)
        for name, face in (("full", COLOURS["muted"]), ("pruned", COLOURS["card"]))
    ]
    handles.append(Line2D([], [], ls="--", color=COLOURS["green"], lw=1.1, label="Pareto front"))
    _legend(figure, handles, 3)
    return Chart(title, "; ".join(says), figure)


@styled
def front(title: str, found: Front) -> Chart:
    """Top-1 against latency: a panel for every choice of units, a line for every kind of them.

    Hollow points on dashed lines are models as dropped, or with a cheaper input; filled ones on
    solid lines are recovered. All lines begin at the full model. A ring is around every point that
    no other one dominates, with its number in :attr:`Front.best`; a dotted step leads from ring to
    ring.

    Args:
        title: of the chart.
        found: what is shown.
    """
    full, *others = found.points
    choices = ordered({point.way.choice for point in others} - {""}, METRICS) or [""]
    names = ordered({point.way.what for point in others}, KINDS)
    recoveries = list(dict.fromkeys(p.way.recovery for p in others if p.way.recovery))
    figure = Figure(figsize=(max(1.6, 0.95 * len(choices)) * WIDTH, 1.6 * TALL))
    axes = figure.subplots(1, len(choices), sharex=True, sharey=True, squeeze=False)[0]
    says = []
    for axis, choice in zip(axes, choices, strict=True):
        lines: dict[Way, list[Point]] = {}
        for point in sorted(others, key=lambda point: -point.share):
            if point.way.choice in ("", choice):  # an input is beside every choice of units
                lines.setdefault(point.way, [full]).append(point)
        for way, points in lines.items():
            colour, marker = _series(names.index(way.what))
            face, style = _look(way.recovery, recoveries, colour)
            axis.plot(
                [p.share for p in points], [p.top1 for p in points], color=colour, lw=0.9, ls=style
            )
            for point in points[1:]:
                axis.vlines(point.share, *point.ends, color=colour, lw=0.6, alpha=0.6, zorder=1.8)
                told = _told(point, found)
                axis.plot(
                    point.share, point.top1, marker, color=colour, mfc=face, ms=4, gid=tip(told)
                )
                says.append(f"{told}.")
        axis.vlines(full.share, *full.ends, color=COLOURS["ink"], lw=0.8)
        axis.plot(
            full.share, full.top1, "*", color=COLOURS["ink"], ms=7, gid=tip(_told(full, found))
        )
        _rings(axis, found.best, choice)
        axis.grid(axis="y")
        axis.set(
            title=str(Way("units", choice)) if len(choices) > 1 else "",
            xlabel=f"latency, 100 % = {found.full_ms:.3g} ms",
        )
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.xaxis.set_major_locator(MultipleLocator(0.1))
    axes[0].set(ylabel="Top-1 (%)", xlim=(min(p.share for p in found.points) - 0.05, 1.04))
    lowest = min(point.ends[0] for point in found.points)
    highest = max(point.ends[1] for point in found.points)
    axes[0].set_ylim(max(-2.0, lowest - 3), min(103.0, highest + 5))
    handles = [_handle("full model", COLOURS["ink"], marker="*", lw=0, ms=7)]
    handles += [_handle(name, _series(i)[0], marker=_series(i)[1]) for i, name in enumerate(names)]
    for recovery in ("", *recoveries) if recoveries else ():
        face, style = _look(recovery, recoveries, COLOURS["muted"])
        name = recovery or "not recovered"
        handles.append(_handle(name, COLOURS["muted"], marker="o", mfc=face, ls=style))
    handles.append(_handle("not dominated", COLOURS["ink"], ls=":", marker="o", ms=8, mfc="none"))
    _legend(figure, handles, 3 if len(choices) < 3 else 6)
    return Chart(title, " ".join(dict.fromkeys(says)), figure)


RECOVERED = ("-", "-.", (0, (6, 1)))
"""How lines of several recoveries are drawn."""


def _look(recovery: str, recoveries: Sequence[str], colour: str) -> tuple[str, Any]:
    """The face of a point and the style of its line: hollow and dashed without a recovery."""
    if not recovery:
        return COLOURS["card"], (0, (2, 1.5))
    return colour, RECOVERED[recoveries.index(recovery) % len(RECOVERED)]


def _told(point: Point, found: Front) -> str:
    """What a point says when it is pointed at."""
    ends = " to ".join(f"{end:.1f}" for end in point.ends)
    size = f", {point.size}" if point.size else ""
    return (
        f"{point.way}{size}: {point.top1:.2f} % ({ends}) at {100 * point.share:.1f} %, "
        f"{point.share * found.full_ms:.3g} ms"
    )


def _rings(axis: Axes, best: Sequence[Point], choice: str) -> None:
    """The steps of a front, and rings with numbers around those of its points that are shown."""
    shares, top1 = [point.share for point in best], [point.top1 for point in best]
    axis.step(
        [*shares, 1.04], [*top1, top1[-1]], ":", where="post", color=COLOURS["ink"], lw=0.8,
        zorder=1.5,
    )  # fmt: skip
    for number, point in enumerate(best, 1):
        if point.way.choice in ("", choice):
            axis.plot(
                point.share, point.top1, "o", ms=8, mfc="none", color=COLOURS["ink"], mew=0.8,
                zorder=4,
            )  # fmt: skip
            up = number % 2 == 1  # neighbours may lie close together
            axis.annotate(
                str(number), (point.share, point.top1), xytext=(-3.5, 3.5 if up else -3.5),
                textcoords="offset points", ha="right", va="bottom" if up else "top", fontsize=6.5,
            )  # fmt: skip


def _handle(name: str, colour: str, **look: Any) -> Line2D:
    return Line2D([], [], color=colour, label=name, **look)


@styled
def training(title: str, strips: Mapping[str, Mapping[int, float]]) -> Chart:
    """Values over the epochs of a fine-tuning, a strip each.

    Args:
        title: of the chart.
        strips: label -> epoch, counted from 1 -> value.
    """
    figure = Figure(figsize=(WIDTH, 1.1 * len(strips) + 0.5))
    axes = figure.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
    says = []
    for axis, (label, values) in zip(axes, strips.items(), strict=True):
        axis.plot([*values], [*values.values()], color=COLOURS["blue"])
        for epoch, value in values.items():
            text = tip(f"epoch {epoch}: {label} {value:.4g}")
            axis.plot(epoch, value, "o", color=COLOURS["blue"], ms=3, gid=text)
        axis.set(ylabel=label, ylim=(0, 103 if "%" in label else None))
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.grid(axis="y")
        last = max(values)
        says.append(f"{label}: {values[last]:.4g} after epoch {last}.")
    axes[-1].set(xlabel="epoch", xlim=(0, None))
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return Chart(title, " ".join(says), figure)


def _legend(figure: Figure, handles: Sequence[Any], columns: int, heading: str = "") -> None:
    rows = -(-len(handles) // columns) + bool(heading)
    figure.set_figheight(float(figure.get_figheight()) + 0.17 * rows)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, title=heading, borderpad=0,
        columnspacing=1.2, handletextpad=0.5, handlelength=1.9,
    )  # fmt: skip


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, TALL))
    axis = figure.subplots()
    axis.grid(axis="y")
    return figure, axis


def _series(number: int) -> tuple[str, str]:
    """Colour and marker."""
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
