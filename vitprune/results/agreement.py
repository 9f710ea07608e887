"""Whether the metrics differ: in the answers they lead to, their rankings, and what they drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from vitprune.results.paper import DATASETS, DIRECTIONS, METRICS
from vitprune.results.reading import Cell, Sweep
from vitprune.results.statistics import bootstrap_interval, holm, jaccard, mcnemar
from vitprune.results.table1 import Group, group_of, ordered, varying


@dataclass(frozen=True)
class MetricPair:
    """Two metrics in one group, dataset and direction.

    Attributes:
        first, second: the metrics.
        overlap: Jaccard index of the layers that they drop, in [0, 1].
        tau: Kendall's tau-b of their relevances of all layers, in [-1, 1]; None where not known.
        change: Top-1 after dropping by ``second`` minus by ``first``, in percentage points; None
            where the cells' answers are not to the same videos.
        interval: 95 % bootstrap interval of ``change`` over the videos; None where all videos
            change alike.
        only_first: videos right after dropping by ``first`` alone.
        only_second: videos right after dropping by ``second`` alone.
        p: McNemar's exact p; None where both drop the same layers, so that nothing is tested.
        p_holm: the same, corrected for all tests of the sweep.
    """

    group: Group
    dataset: str
    direction: str
    first: str
    second: str
    overlap: float
    tau: float | None
    change: float | None = None
    interval: tuple[float, float] | None = None
    only_first: int = 0
    only_second: int = 0
    p: float | None = None
    p_holm: float | None = None


def compare_metrics(sweep: Sweep, *, seed: int = 0) -> list[MetricPair]:
    """Every pair of metrics that a group, dataset and direction of the sweep has cells of."""
    names = varying(cell.settings for cell in sweep.cells)
    by_place: dict[tuple[Group, str, str], dict[str, Cell]] = {}
    for cell in sweep.cells:
        settings = cell.settings
        place = (group_of(settings, names), settings.dataset, settings.direction)
        by_place.setdefault(place, {})[settings.metric] = cell
    comparisons = [
        _compare(place, cells, first, second, seed)
        for place, cells in by_place.items()
        for first, second in combinations(ordered(cells, METRICS), 2)
    ]
    corrected = iter(holm([c.p for c in comparisons if c.p is not None]))
    comparisons = [c if c.p is None else replace(c, p_holm=next(corrected)) for c in comparisons]
    datasets = ordered({c.dataset for c in comparisons}, DATASETS)
    directions = ordered({c.direction for c in comparisons}, DIRECTIONS)

    def order(c: MetricPair) -> tuple[object, ...]:
        return c.group.order, datasets.index(c.dataset), directions.index(c.direction)

    return sorted(comparisons, key=order)


def relevance_by_metric(
    cells: Sequence[Cell],
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]]:
    """metric -> units, mean and standard error [U]; a metric's own cell is asked first."""
    found = {}
    for own in (False, True):
        for cell in cells:
            if cell.relevance is None:
                continue
            for metric, mean in cell.relevance.mean.items():
                if not own or metric == cell.settings.metric:
                    error = cell.relevance.standard_error[metric]
                    found[metric] = (cell.relevance.units, mean, error)
    return {metric: found[metric] for metric in ordered(found, METRICS)}


def _compare(
    place: tuple[Group, str, str], cells: Mapping[str, Cell], first: str, second: str, seed: int
) -> MetricPair:
    one, other = cells[first], cells[second]
    dropped, others = one.results["dropped"], other.results["dropped"]
    found = MetricPair(*place, first, second, jaccard(dropped, others), _tau(one, other))
    if one.answers is None or other.answers is None or one.answers.video != other.answers.video:
        return found
    left, right = one.answers.pruned_hits, other.answers.pruned_hits
    difference = right.astype(int) - left
    low, high = bootstrap_interval(difference, seed=seed)
    worse, better = int((difference < 0).sum()), int((difference > 0).sum())
    return replace(
        found,
        change=100 * float(difference.mean()),
        interval=(100 * low, 100 * high) if np.isfinite(low) else None,
        only_first=worse,
        only_second=better,
        p=None if set(dropped) == set(others) else mcnemar(worse, better),
    )


def _tau(one: Cell, other: Cell) -> float | None:
    relevance = relevance_by_metric([one, other])
    first = relevance.get(one.settings.metric)
    second = relevance.get(other.settings.metric)
    if first is None or second is None or first[0] != second[0]:
        return None
    tau = float(kendalltau(first[1], second[1]).statistic)
    return tau if np.isfinite(tau) else None
