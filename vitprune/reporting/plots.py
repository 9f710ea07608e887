"""Charts as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitprune.files import replacing

KEPT, DROPPED = "#4477aa", "#ee6677"  # Tol's bright scheme: apart for every kind of colour vision


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
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(mean), 1, sharex=True, squeeze=False)[:, 0]
    colours = [DROPPED if unit in set(dropped) else KEPT for unit in units]
    positions = np.arange(len(units))
    for axis, metric in zip(axes, mean, strict=True):
        axis.bar(positions, mean[metric], color=colours, width=0.75)
        axis.errorbar(
            positions, mean[metric], yerr=standard_error[metric], fmt="none", ecolor="#222222", lw=1
        )
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
