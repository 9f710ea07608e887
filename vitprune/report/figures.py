"""Charts of heads: heat maps of layers by heads, and scatter plots of one figure over another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitprune.importance import Unit
from vitprune.report.style import COLOURS, HIGHEST, LOWEST, styled, write_png

Floats = NDArray[np.float64]
PANELS = 24
"""Classes that get a panel of their own."""


def grid_of(units: Sequence[Unit]) -> tuple[list[str], list[tuple[int, int]]]:
    """Rows (layers, or a layer's attentions) by heads: the rows' names, each unit's (row, head)."""
    names: dict[str, int] = {}
    places = []
    for unit in units:
        row = names.setdefault(f"{unit.layer} {unit.branch}".strip(), len(names))
        places.append((row, unit.number or 0))
    return list(names), places


def as_grid(units: Sequence[Unit], values: Floats) -> Floats:
    """Values [U] of heads as [rows, heads]; nan where there is no head."""
    names, places = grid_of(units)
    grid = np.full((len(names), 1 + max(head for _, head in places)), np.nan)
    for (row, head), value in zip(places, values, strict=True):
        grid[row, head] = value
    return grid


@styled
def plot_heads(
    path: Path,
    units: Sequence[Unit],
    panels: Mapping[str, Floats],
    *,
    title: str,
    one_scale: bool,
    across: int = 5,
) -> None:
    """Heat maps of layers by heads in viridis, one a panel, written as PNG.

    Args:
        path: the PNG.
        units: the U heads.
        panels: title -> values [U]; at most :data:`PANELS` are shown.
        title: above.
        one_scale: whether a colour means the same in all panels, or each has a scale of its own.
        across: panels beside each other.
    """
    rows, _ = grid_of(units)
    shown = dict(list(panels.items())[:PANELS])
    across = min(across, len(shown))
    down = -(-len(shown) // across)
    grids = [as_grid(units, values) for values in shown.values()]
    heads = grids[0].shape[1]
    figure = Figure(
        figsize=(across * max(1.3, 0.16 * heads + 0.7) + 1.4, down * (0.115 * len(rows) + 0.6) + 1),
        dpi=110,
    )
    subplots = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    axes = list(subplots.flat[: len(shown)])
    groups = [list(range(len(shown)))] if one_scale else [[i] for i in range(len(shown))]
    for group in groups:
        scale = _scale(np.stack([grids[i] for i in group]))
        for i in group:
            picture = axes[i].imshow(
                np.ma.masked_invalid(grids[i]), aspect="auto", cmap="viridis", norm=scale,
                interpolation="nearest",
            )  # fmt: skip
        _colour_bar(figure, picture, [axes[i] for i in group])
    for axis, name in zip(axes, shown, strict=True):
        axis.set_title(name)
        axis.set_facecolor(COLOURS["rule"])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    for axis in subplots.flat[len(shown) :]:
        axis.set_visible(False)
    step = 1 if len(rows) <= 24 else 2
    axes[0].set_yticks(range(0, len(rows), step), rows[::step])
    for axis in axes[-across:]:  # the lowest of each column
        axis.set_xlabel("head")
        axis.tick_params(axis="x", labelbottom=True)
    for axis in axes[::across]:
        axis.set_ylabel("layer")
        axis.tick_params(axis="y", labelsize=6)
    left_out = len(panels) - len(shown)
    note = f"; {left_out} more classes are in the CSV" if left_out > 0 else ""
    how = "colours spread by asinh, as few heads tower over many; grey: no such head"
    write_png(figure, path, f"{title}{note}\n{how}")


def _scale(values: Floats) -> AsinhNorm:
    """Linear up to about the median head, logarithmic above."""
    known = values[np.isfinite(values)]
    return AsinhNorm(_median_size(known), known.min(), known.max())


def _median_size(known: Floats) -> float:
    return float(np.median(np.abs(known))) or float(np.abs(known).max()) or 1.0


def _colour_bar(figure: Figure, picture: AxesImage, axes: list[Axes]) -> None:
    bar = figure.colorbar(picture, ax=axes, shrink=0.9, aspect=25, pad=0.02)
    low, high = (float(end or 0.0) for end in picture.get_clim())
    ticks = _ticks([low, high], low, high, picture.norm, 0.04)
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    bar.ax.tick_params(labelsize=6)
    bar.minorticks_off()


def _ticks(
    ticks: list[float], low: float, high: float, place: Callable[[Any], Any], gap: float
) -> list[float]:
    """``ticks``, and zero and powers of ten between ``low`` and ``high`` that have room.

    ``place`` says where along the axis a value lies, in [0, 1]; ``gap`` how close ticks may be.
    """
    for tick in (0.0, *(sign * 10.0**e for e in range(1, -9, -1) for sign in (1, -1))):
        if low < tick < high and all(abs(place(tick) - place(t)) > gap for t in ticks):
            ticks = [*ticks, tick]
    return ticks


@styled
def plot_scatter(
    path: Path,
    panels: Sequence[tuple[str, Floats, Floats]],
    *,
    x: str,
    y: str,
    names: Sequence[str],
    title: str,
    even: tuple[float | None, float | None] = (None, None),
    spread_x: bool = False,
) -> None:
    """One dot a head, the most outlying named; panels beside each other, written as PNG.

    Args:
        path: the PNG.
        panels: (title, x [U], y [U]).
        x: what the x axis shows.
        y: what the y axis shows.
        names: of the U heads.
        title: above.
        even: where to draw a line across x and across y, to read values against.
        spread_x: whether x is relevance, of which few heads have much and most next to none: the
            axis is then linear up to about the median head and logarithmic above.
    """
    figure = Figure(figsize=(3.1 * len(panels) + 0.4, 3.3), dpi=110)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, xs, ys) in zip(axes, panels, strict=True):
        if even[0] is not None:
            axis.axvline(even[0], color=COLOURS["kept"], lw=0.8)
        if even[1] is not None:
            axis.axhline(even[1], color=COLOURS["kept"], lw=0.8)
        if spread_x:
            axis.set_xscale("asinh", linear_width=_median_size(xs[np.isfinite(xs)]))
        axis.scatter(xs, ys, s=12, color=LOWEST, alpha=0.7, lw=0)
        if spread_x:
            _spread_ticks(axis)
        _name_outliers(axis, xs, ys, names)
        axis.set_title(name)
        axis.set_xlabel(x)
    axes[0].set_ylabel(y)
    write_png(figure, path, title)


def _spread_ticks(axis: Axes) -> None:
    """Fewer than matplotlib has on an axis spread by asinh, which overlap around zero."""
    axis.autoscale_view()  # else the panel's limits are not known before it is drawn
    low, high = axis.get_xlim()
    across = axis.transScale + axis.transLimits
    bottom = axis.get_ylim()[0]
    ticks = _ticks([], low, high, lambda x: across.transform((x, bottom))[0], 0.12)
    axis.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axis.set_xticks([], minor=True)


def _name_outliers(axis: Axes, xs: Floats, ys: Floats, names: Sequence[str]) -> None:
    """The three highest either way; a name that another would cover goes below its dot."""
    known = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    outlying = {*known[np.argsort(-xs[known])[:3]], *known[np.argsort(-ys[known])[:3]]}
    axis.autoscale_view()  # else the panel's limits are not known before it is drawn
    taken: list[Floats] = []
    for i in sorted(outlying, key=lambda i: -ys[i]):
        # in widths and heights of the panel
        place = (axis.transScale + axis.transLimits).transform((xs[i], ys[i]))
        crowded = any((np.abs(place - other) < (0.15, 0.05)).all() for other in taken)
        taken.append(place)
        axis.annotate(
            names[i], (xs[i], ys[i]), fontsize=6.5, xytext=(3, -2 if crowded else 2),
            textcoords="offset points", va="top" if crowded else "bottom",
        )  # fmt: skip


@styled
def plot_causal(
    path: Path,
    names: Sequence[str],
    panels: Sequence[tuple[str, float, Sequence[tuple[float, Floats]]]],
    *,
    title: str,
) -> None:
    """What is left of a class without sets of heads, beside the same without random ones.

    Args:
        path: the PNG.
        names: of the sets.
        panels: (what is shown, of the full model, per set: without it, and [S] without each
            random set), in [0, 1].
        title: above.
    """
    figure = Figure(figsize=(len(panels) * (1.5 * len(names) + 1), 3.6), dpi=110)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (what, full, groups) in zip(axes, panels, strict=True):
        axis.axhline(100 * full, color=COLOURS["kept"], lw=0.8, ls="--", label="the full model")
        for i, (without, random) in enumerate(groups):
            spots = i + (np.linspace(-0.16, 0.16, len(random)) if len(random) > 1 else 0)
            axis.plot(
                np.broadcast_to(spots, len(random)), 100 * random, "o", ms=4, alpha=0.6,
                color=COLOURS["random"], label="without as many random heads",
            )  # fmt: skip
            axis.plot(i, 100 * without, "D", ms=8, color=HIGHEST, label="without the named heads")
        axis.set_xticks(range(len(names)), names)
        axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(-4, 104))
        axis.set_title(f"{what} (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3)
    write_png(figure, path, title)
