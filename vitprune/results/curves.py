"""Top-1 over the number of dropped units: kept per video, and compared.

The figures:

- *area*: the mean of Top-1 over k = 0, 1, ... U-1 dropped units of U, every k with the same
  weight, in percent. It is the area under the curve over its width: 100 for a model that is always
  right until one unit is left.
- *keeping*: the largest k whose Top-1 is at least a share of the full model's. It is chosen on the
  val split and reported by the Top-1 that it has on the test split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitprune.files import replacing
from vitprune.results.groups import Group
from vitprune.results.paper import title
from vitprune.results.reading import Sweep
from vitprune.results.statistics import RESAMPLES, TAILS, bootstrap_means, holm

SHARES = (0.98, 0.95)
"""Of the full model's Top-1, which a smaller model shall keep."""
RANDOM = "random"
"""What stands for a metric where units go at random."""
REFERENCE = "R"
"""The metric that the others are compared with."""
CURVES = "curves.npz"
"""The curves of a job, in its directory."""


class Order(NamedTuple):
    """The order in which all but one of a model's units go, and what it is made by."""

    metric: str
    strategy: str
    units: tuple[str, ...]

    def prefixes(self) -> list[frozenset[str]]:
        """The units that are gone after 0, 1, ... steps."""
        return [frozenset(self.units[:k]) for k in range(len(self.units) + 1)]


@dataclass(frozen=True, eq=False)
class Curves:
    """Which videos a model is right about after 0, 1, ... U-1 of its U units are dropped.

    Attributes:
        metric: by which each of O orders goes, or :data:`RANDOM`: text [O].
        strategy: ``oneshot`` or ``greedy``: text [O].
        units: in the order in which they go, text [O, U-1].
        val: whether the N validation videos are right, bool [O, U, N].
        test: the same of the test videos.
        val_videos: their names, text [N].
        test_videos: likewise.
    """

    metric: NDArray[np.str_]
    strategy: NDArray[np.str_]
    units: NDArray[np.str_]
    val: NDArray[np.bool_]
    test: NDArray[np.bool_]
    val_videos: NDArray[np.str_]
    test_videos: NDArray[np.str_]

    @property
    def ways(self) -> list[tuple[str, str]]:
        """Every (strategy, metric), in order."""
        return [*dict.fromkeys(zip(self.strategy.tolist(), self.metric.tolist(), strict=True))]

    def of(self, way: tuple[str, str]) -> NDArray[np.int64]:
        """Which orders are of a way: several where chance draws them."""
        return np.flatnonzero((self.strategy == way[0]) & (self.metric == way[1]))

    def save(self, path: str | Path) -> None:
        """Write everything to an ``.npz`` file, whole or not at all."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Curves:
        """What :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{field.name: file[field.name] for field in fields(cls)})

    def comparable(self, other: Curves) -> bool:
        """Whether both are of the same videos and ways."""
        return self.ways == other.ways and np.array_equal(self.test_videos, other.test_videos)

    def table(self) -> pd.DataFrame:
        """A row for every order and k, with the unit that goes last, and Top-1 of both splits."""
        orders, steps, _ = self.test.shape
        draws = [np.flatnonzero(self.of(way) == i)[0] for i, way in enumerate(self._way_of())]
        rows = {
            "strategy": np.repeat(self.strategy, steps),
            "metric": np.repeat(self.metric, steps),
            "draw": np.repeat(draws, steps),
            "k": np.tile(np.arange(steps), orders),
            "unit": np.hstack([np.full((orders, 1), ""), self.units]).ravel(),
            "val_top1": self.val.mean(-1).ravel(),
            "test_top1": self.test.mean(-1).ravel(),
        }
        return pd.DataFrame(rows)

    def _way_of(self) -> list[tuple[str, str]]:
        return list(zip(self.strategy.tolist(), self.metric.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Measured:
    """The curves of one model on one dataset, of fine-tunings that differ in their seed.

    Attributes:
        group: the model, and settings that vary within the sweep.
        dataset: its name.
        direction: which units go first.
        seeds: one for each of ``curves``.
        curves: of the same videos and ways.
    """

    group: Group
    dataset: str
    direction: str
    seeds: list[int]
    curves: list[Curves]

    @property
    def place(self) -> str:
        """``MViT on DAI``, with the settings that vary."""
        return ", ".join([f"{self.group.title} on {title(self.dataset)}", *self.group.settings])

    @property
    def name(self) -> str:
        """The same for files: ``dai-mvit-lowest``."""
        parts = [self.dataset, self.group.model, self.direction, *self.group.settings]
        return re.sub(r"[^\w.=-]+", "_", "-".join(parts))

    def top1(self) -> dict[str, dict[tuple[str, str], dict[int, NDArray[np.float64]]]]:
        """strategy -> (direction or ``random``, metric) -> k -> Top-1 on the test split.

        Top-1 is in [0, 1], one for each seed and order. Orders at random, which know no strategy,
        are with every strategy.
        """
        lines: dict[str, dict[tuple[str, str], dict[int, NDArray[np.float64]]]] = {}
        ways = self.curves[0].ways
        for strategy in dict.fromkeys(strategy for strategy, _ in ways):
            lines[strategy] = {}
            for way in ways:
                if way[0] == strategy or way[1] == RANDOM:
                    of_seeds = [found.test[found.of(way)].mean(-1) for found in self.curves]
                    values = dict(enumerate(np.concatenate(of_seeds).T))
                    key = (RANDOM, "") if way[1] == RANDOM else (self.direction, way[1])
                    lines[strategy][key] = values
        return lines

    def full(self) -> float:
        """Top-1 of the full model on the test split, in [0, 1], the mean over seeds."""
        return float(np.mean([found.test[0, 0].mean() for found in self.curves]))


def read_curves(sweep: Sweep) -> list[Measured]:
    """The curves of a sweep's finished cells, seeds together.

    Of cells that hold the same curves, as those by several metrics do, one counts.
    """
    cells = sweep.finished
    cells = cells[[(path / CURVES).is_file() for path in cells["path"]]]
    if cells.empty:
        return []
    groups = [replace(group, k=None, seed=None) for group in cells["group"]]
    seeds = [results["seed"] for results in cells["results"]]
    cells = cells.assign(group=groups, seed=seeds)
    keys = ["group", "dataset", "direction"]
    found = []
    for (group, dataset, direction), same in cells.groupby(keys, sort=False):
        newest = same.drop_duplicates("seed", keep="last").sort_values("seed")
        curves = dict(zip(newest["seed"], map(Curves.load, newest["path"] / CURVES), strict=True))
        first = next(iter(curves.values()))
        alike = {seed: one for seed, one in curves.items() if one.comparable(first)}
        found.append(Measured(group, dataset, direction, [*alike], [*alike.values()]))
    return found


def largest(top1: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """The largest k [...] at which Top-1 [..., L] is at least ``share`` of that at k = 0."""
    steps = top1.shape[-1]
    kept = top1 >= share * top1[..., :1] - 1e-9
    return np.asarray(steps - 1 - kept[..., ::-1].argmax(-1))


def reference_of(way: tuple[str, str]) -> tuple[str, str] | None:
    """What a (strategy, metric) is compared with: R with the same strategy; greedy R with oneshot.

    None for oneshot R, with which the others are compared.
    """
    strategy, metric = way
    if metric != REFERENCE:
        return strategy, REFERENCE
    return None if strategy == "oneshot" else ("oneshot", REFERENCE)


def compare_curves(seeds: Sequence[Curves]) -> pd.DataFrame:
    """Every way to order the units of a model, its figures and how it compares with R.

    All intervals (95 %, percentile) and p-values come from the same resamples, so that what is
    compared is compared on the same videos. Every resample draws test videos and, apart from that,
    seeds, both with replacement, as every seed's model has seen the same videos (the pigeonhole
    bootstrap: Owen, Annals of Applied Statistics 1 (2007)). With one seed it is the ordinary
    bootstrap over videos. Random orders are not resampled: their mean is the figure.

    Args:
        seeds: the curves of fine-tunings that differ in their seed; of the same videos and ways.

    Returns:
        A row for each way, with Top-1 in percent and differences in percentage points:

        - ``strategy``, ``metric``.
        - ``full``, ``full_low``, ``full_high``: Top-1 of the full model, the same in every row.
        - ``area``, ``area_low``, ``area_high``; ``area_spread`` is the standard deviation over
          seeds, nan with one.
        - ``against``: the strategy of the R that it is compared with; ``change``, ``change_low``,
          ``change_high``: of the area from that one to this one.
        - ``p``: twice the share of resamples in which the change is not above, or not below, 0,
          whichever is smaller (Efron and Tibshirani 1993, ch. 15); nan where all videos have
          the same area under both, so that nothing is tested. ``p_holm``: corrected for all rows.
        - for each of :data:`SHARES`, as ``98``: ``k98``: largest k that keeps it on the val split,
          the mean over seeds (and random orders), with ``k98_low`` and ``k98_high`` of drawing the
          val videos anew; ``top1_98`` with ``_low`` and ``_high``: Top-1 on the test split at that
          k; ``kept_98`` likewise: that as a share of the full model's, in percent.

    Raises:
        ValueError: the seeds' videos or ways differ.
    """
    first = seeds[0]
    ways = first.ways
    if not all(other.comparable(first) for other in seeds):
        raise ValueError("curves of other videos or by other metrics")
    times = _drawn_seeds(len(seeds))
    # [N, columns, W, S]: what a video adds to each figure
    columns = np.stack([_per_video(curves) for curves in seeds], axis=-1)
    means = _resampled(columns, times)
    plain = columns.mean(axis=(0, -1))
    found = pd.DataFrame(ways, columns=["strategy", "metric"])
    found["full"] = 100 * plain[1]
    _add_interval(found, "full", means[:, 1])
    found["area"] = 100 * plain[0]
    _add_interval(found, "area", means[:, 0])
    if len(seeds) > 1:
        found["area_spread"] = 100 * columns[:, 0].mean(0).std(axis=-1, ddof=1)
    else:
        found["area_spread"] = np.nan
    _add_changes(found, ways, columns[:, 0], means[:, 0])
    for i, share in enumerate(SHARES, 2):
        name = f"{100 * share:.0f}"
        found[f"k{name}"], found[f"k{name}_low"], found[f"k{name}_high"] = _keeping(
            seeds, ways, share, times
        )
        found[f"top1_{name}"] = 100 * plain[i]
        _add_interval(found, f"top1_{name}", means[:, i])
        with np.errstate(invalid="ignore", divide="ignore"):  # a full model without a hit
            found[f"kept_{name}"] = 100 * plain[i] / plain[1]
            _add_interval(found, f"kept_{name}", means[:, i] / means[:, 1])
    return found


def _per_video(curves: Curves) -> NDArray[np.float64]:
    """Of every video and way: area, full Top-1, Top-1 at each share's k: [N, 2 + shares, W]."""
    top1 = curves.val.mean(-1)
    columns = []
    for way in curves.ways:
        orders = curves.of(way)
        hits = curves.test[orders]
        at = [
            hits[np.arange(len(orders)), largest(top1[orders], share)].mean(0) for share in SHARES
        ]
        columns.append(np.stack([hits.mean((0, 1)), hits[:, 0].mean(0), *at], axis=1))
    return np.stack(columns, axis=-1)


def _drawn_seeds(count: int) -> NDArray[np.float64]:
    """How often each seed is in each resample, as a share: [resamples, count]."""
    draw = np.random.default_rng(1)
    return draw.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def _resampled(columns: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of [N, ..., S] over drawn videos and drawn seeds: [resamples, ...]."""
    drawn = bootstrap_means(columns.reshape(len(columns), -1))
    return np.einsum("r...s,rs->r...", drawn.reshape(-1, *columns.shape[1:]), times)


def _add_interval(found: pd.DataFrame, name: str, means: NDArray[np.float64]) -> None:
    """The ends of the intervals of [resamples, W] in percent; nan where nothing varies."""
    low, high = np.nanquantile(100 * means, TAILS, axis=0)
    alike = np.ptp(means, axis=0) < 1e-12
    found[f"{name}_low"], found[f"{name}_high"] = (
        np.where(alike, np.nan, end) for end in (low, high)
    )


def _add_changes(
    found: pd.DataFrame,
    ways: Sequence[tuple[str, str]],
    areas: NDArray[np.float64],
    means: NDArray[np.float64],
) -> None:
    """How areas [N, W, S] compare with R's, by their resampled means [resamples, W]."""
    against: list[str | None] = []
    change, p = np.full(len(ways), np.nan), np.full(len(ways), np.nan)
    drawn = np.zeros_like(means)
    for i, way in enumerate(ways):
        reference = reference_of(way)
        if reference is None or reference not in ways:
            against.append(None)
            continue
        j = ways.index(reference)
        against.append(reference[0])
        change[i] = 100 * (areas[:, i] - areas[:, j]).mean()
        drawn[:, i] = means[:, i] - means[:, j]
        if (areas[:, i] != areas[:, j]).any():
            above, below = (drawn[:, i] >= 0).sum(), (drawn[:, i] <= 0).sum()
            p[i] = min(1.0, 2 * (1 + min(above, below)) / (1 + RESAMPLES))
    found["against"], found["change"] = against, change
    _add_interval(found, "change", drawn)
    tested = np.isfinite(p)
    corrected = np.full(len(ways), np.nan)
    corrected[tested] = holm(p[tested].tolist())
    found["p"], found["p_holm"] = p, corrected


def _keeping(
    seeds: Sequence[Curves],
    ways: Sequence[tuple[str, str]],
    share: float,
    times: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The largest k that keeps a share on the val split, and its interval, each [W]."""
    plain, drawn = [], []
    for curves in seeds:
        orders, steps, videos = curves.val.shape
        means = bootstrap_means(curves.val.reshape(-1, videos).T.astype(np.float64))
        ks = largest(means.reshape(-1, orders, steps), share)
        once = largest(curves.val.mean(-1), share)
        plain.append([once[curves.of(way)].mean() for way in ways])
        drawn.append([ks[:, curves.of(way)].mean(1) for way in ways])
    means = np.einsum("swr,rs->rw", np.array(drawn), times)
    low, high = np.quantile(means, TAILS, axis=0)
    return np.mean(plain, axis=0), low, high
