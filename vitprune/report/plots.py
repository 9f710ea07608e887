"""Charts as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitprune.files import replacing

KEPT, DROPPED = "#4477aa", "#ee6677"  # Tol's bright scheme: apart for every kind of colour vision
LINES = {"lowest": KEPT, "highest": DROPPED, "random": "#888888"}


def plot_relevance(
    path: str | Path,
    *,
    units: Sequence[str],
    mean: Mapping[str, NDArray[np.float64]],
    standard_error: Mapping[str, NDArray[np.float64]],
    dropped: Sequence[str],
    title: str,
    selected: str,
) -> None:
    """Bar charts of the units' relevance, one panel a metric, written to ``path``.

    Args:
        path: the PNG.
        units: names in order.
        mean: metric -> mean over the calibration clips, [U].
        standard_error: metric -> standard error of that mean, [U].
        dropped: the names of the units that were dropped.
        title: above the chart.
        selected: the metric by which they were chosen.
    """
    figure = Figure(figsize=(max(6.0, 0.42 * len(units) + 1.5), 2.1 * len(mean) + 0.9), dpi=130)
    axes = figure.subplots(len(mean), 1, sharex=True, squeeze=False)[:, 0]
    positions = np.arange(len(units))
    gone = [i for i, unit in enumerate(units) if unit in dropped]
    colours = [DROPPED if i in gone else KEPT for i in positions]
    for axis, metric in zip(axes, mean, strict=True):
        axis.bar(positions, mean[metric], color=colours, width=0.75)
        axis.errorbar(
            positions, mean[metric], yerr=standard_error[metric], fmt="none", ecolor="#222222", lw=1
        )
        for position in gone:  # what is dropped often has no bar to see
            axis.axvspan(position - 0.45, position + 0.45, color=DROPPED, alpha=0.2, lw=0, zorder=0)
        axis.axhline(0, color="#222222", lw=0.8)
        axis.set_ylabel(f"{metric} (bits)" if metric == "JSD" else metric)
        axis.spines[["top", "right"]].set_visible(False)
        if metric == selected:
            axis.set_ylabel(axis.get_ylabel(), fontweight="bold")
    axes[-1].set_xticks(positions, units, rotation=90 if len(units) > 40 else 0)
    axes[-1].set_xlabel("layer")
    axes[-1].set_xlim(-0.6, len(units) - 0.4)
    handles = [
        axes[0].bar([0], [0], color=colour, label=label)
        for colour, label in ((KEPT, "kept"), (DROPPED, f"dropped, by {selected}"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        f"{title}\nmean over the calibration clips, bars: ± standard error", fontsize=10
    )
    figure.set_layout_engine("constrained")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def plot_curve(
    path: str | Path,
    *,
    top1: Mapping[str, NDArray[np.float64]],
    latency_ms: Sequence[float],
    title: str,
) -> None:
    """Top-1 over the number of dropped layers, with latency on a second axis, to ``path``.

    Args:
        path: the PNG.
        top1: name -> Top-1 in [0, 1], [orders, k + 1]; several orders make a mean and a band from
            the smallest to the largest.
        latency_ms: of the model without 0 to k layers.
        title: above the chart.
    """
    figure = Figure(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    axis = figure.subplots()
    dropped = np.arange(len(latency_ms))
    for name, values in top1.items():
        percent = 100 * values
        label = name if len(values) == 1 else f"{name}: mean and range of {len(values)}"
        axis.plot(dropped, percent.mean(0), "o-", color=LINES[name], label=label, zorder=3)
        if len(values) > 1:
            axis.fill_between(
                dropped, percent.min(0), percent.max(0), color=LINES[name], alpha=0.2, lw=0
            )
    axis.set(xlabel="dropped layers", ylabel="Top-1 (%)", ylim=(0, 102), xticks=dropped)
    axis.spines["top"].set_visible(False)
    second = axis.twinx()
    second.plot(dropped, latency_ms, "s:", color="#228833", ms=4, label="latency (right axis)")
    second.set_ylabel("latency per clip (ms)", color="#228833")
    second.set_ylim(0, 1.15 * max(latency_ms))
    second.spines["top"].set_visible(False)
    lines = [*axis.get_lines(), *second.get_lines()]
    figure.legend(
        lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=2,
        frameon=False,
    )  # fmt: skip
    figure.suptitle(title, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary)
