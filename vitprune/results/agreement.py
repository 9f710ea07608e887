"""Whether the metrics differ: in the answers they lead to, their rankings, and what they drop."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from vitprune.results.groups import ordered
from vitprune.results.paper import METRICS
from vitprune.results.reading import Sweep, dropped, read_answers, read_scores
from vitprune.results.statistics import bootstrap_interval, holm, jaccard, mcnemar

COLUMNS = [
    "group", "dataset", "direction", "first", "second", "top1_change", "low", "high", "only_first",
    "only_second", "p", "p_holm", "kendall_tau", "jaccard",
]  # fmt: skip


def compare_metrics(sweep: Sweep) -> pd.DataFrame:
    """Every pair of metrics that a group, dataset and direction of the sweep has cells of.

    Returns:
        A row a pair, in the paper's order, with :data:`COLUMNS`:

        - ``first``, ``second``: the metrics.
        - ``top1_change``: Top-1 after dropping by ``second`` minus by ``first``, in percentage
          points; nan, with the next four, where the cells' answers are not to the same videos.
        - ``low``, ``high``: 95 % bootstrap interval of it over the videos; nan where all videos
          change alike.
        - ``only_first``, ``only_second``: videos right after dropping by that metric alone.
        - ``p``: McNemar's exact p; nan where both drop the same units, so that nothing is tested.
        - ``p_holm``: the same, corrected for all tests of the sweep.
        - ``kendall_tau``: tau-b of their relevances of all units, in [-1, 1]; nan if not known.
        - ``jaccard``: index of the units that they drop, in [0, 1].
    """
    pairs = []
    for place, cells in sweep.finished.groupby(COLUMNS[:3], sort=False):
        by_metric = {cell.metric: cell for cell in cells.itertuples()}
        for first, second in combinations(ordered(by_metric, METRICS), 2):
            keys = dict(zip(COLUMNS, (*place, first, second), strict=False))
            pairs.append({**keys, **_compare(by_metric[first], by_metric[second])})
    found = pd.DataFrame(pairs, columns=COLUMNS)
    tested = found["p"].notna()
    found["p_holm"] = pd.Series(holm(found.loc[tested, "p"]), found.index[tested], float)
    return found.astype({"only_first": "Int64", "only_second": "Int64"})


def relevance_by_metric(cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """metric -> ``mean`` and standard ``error`` by unit; a metric's own cell is asked first."""
    found: dict[str, pd.DataFrame] = {}
    for own in (False, True):
        for cell in cells.itertuples():
            scores = read_scores(cell.path)
            for metric in [name for name in scores if f"{name}_se" in scores]:
                if not own or metric == cell.metric:
                    columns = {"mean": scores[metric], "error": scores[f"{metric}_se"]}
                    found[metric] = pd.DataFrame(columns)
    return {metric: found[metric] for metric in ordered(found, METRICS)}


def _compare(one: Any, other: Any) -> dict[str, Any]:
    """All but the keys of a pair of cells."""
    ours, theirs = dropped(one.results), dropped(other.results)
    found = {"jaccard": jaccard(ours, theirs), "kendall_tau": _tau(one, other)}
    left, right = read_answers(one.path), read_answers(other.path)
    if not len(left) or not left["video"].equals(right.get("video")):
        return found
    hits = [(answers["pruned"] == answers["label"]).astype(int) for answers in (left, right)]
    difference = (hits[1] - hits[0]).to_numpy()
    low, high = bootstrap_interval(difference)
    worse, better = int((difference < 0).sum()), int((difference > 0).sum())
    same = set(ours) == set(theirs)
    return {
        **found,
        "top1_change": 100 * float(difference.mean()),
        "low": 100 * low,
        "high": 100 * high,
        "only_first": worse,
        "only_second": better,
        "p": np.nan if same else mcnemar(worse, better),
    }


def _tau(one: Any, other: Any) -> float:
    relevance = relevance_by_metric(pd.DataFrame([one, other]))
    first, second = relevance.get(one.metric), relevance.get(other.metric)
    if first is None or second is None or not first.index.equals(second.index):
        return np.nan
    return float(kendalltau(first["mean"], second["mean"]).statistic)
