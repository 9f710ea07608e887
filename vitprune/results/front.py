"""Top-1 against measured latency of many ways to make one model smaller, and which are worth it.

A *way* is which units go and what becomes of the rest, or an input of fewer frames or pixels. A
*point* is one model that a way gave. The *front* are the points that no other one dominates: that
is as fast and as often right, and better in one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, NamedTuple

import pandas as pd

from vitprune.results.paper import UNITS, called, counted, title
from vitprune.results.reading import Sweep, read_cheaper_inputs
from vitprune.results.statistics import holm, mcnemar, proportion_interval

FULL = "full model"
"""The way of the point that all others start from."""
FRAMES, SIZE, BOTH = "fewer frames", "smaller images", "fewer frames, smaller images"
"""The ways by which nothing goes."""
KINDS = (*map(called, UNITS), FRAMES, SIZE, BOTH)
"""What goes, in the order in which it is shown."""
RANDOM = "random"


class Way(NamedTuple):
    """What makes a model smaller.

    Attributes:
        what: ``layers``, ``heads``, ``fewer frames``, with settings that vary within the sweep.
        choice: of units: ``R``, ``highest R``, ``random``; empty where none go.
        recovery: ``linear``; empty for none.
    """

    what: str
    choice: str = ""
    recovery: str = ""

    def __str__(self) -> str:
        by = {"": "", RANDOM: " at random"}.get(self.choice, f" by {self.choice}")
        return self.what + by + (f", {self.recovery}" if self.recovery else "")


class Measured(NamedTuple):
    """A smaller model of one fine-tuning beside the full one: the same videos, latency in turns.

    Attributes:
        share: of the full model's latency.
        top1: in [0, 1].
        full: the full model's Top-1.
        videos: how many there are.
        right_to_wrong: how many of them turned wrong.
        wrong_to_right: how many turned right.
        size: what is gone or left: ``5 layers``, ``4 frames of 48 pixels``.
    """

    share: float
    top1: float
    full: float
    videos: int
    right_to_wrong: int = 0
    wrong_to_right: int = 0
    size: str = ""


@dataclass(frozen=True)
class Point:
    """A model that a way gave, or the same of several seeds.

    Attributes:
        way: that gave it.
        command: what of a command line gives it: ``scope=head metric=R budget.latency=0.7``.
        seeds: seed -> what was measured.
    """

    way: Way
    command: str
    seeds: Mapping[int, Measured]

    @property
    def share(self) -> float:
        """Of the full model's latency, the mean over seeds."""
        return mean(one.share for one in self.seeds.values())

    @property
    def top1(self) -> float:
        """In percent, the mean over seeds."""
        return 100 * mean(one.top1 for one in self.seeds.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation of Top-1 over seeds, in points; None of a single one."""
        values = [100 * one.top1 for one in self.seeds.values()]
        return stdev(values) if len(values) > 1 else None

    @property
    def ends(self) -> tuple[float, float]:
        """Around Top-1: of one seed Wilson's 95 % interval, of several one deviation."""
        if self.spread is not None:
            return self.top1 - self.spread, self.top1 + self.spread
        (one,) = self.seeds.values()
        low, high = proportion_interval(round(one.top1 * one.videos), one.videos)
        return 100 * low, 100 * high

    @property
    def change(self) -> float:
        """Of Top-1 from the full model, in percentage points, the mean over seeds."""
        return 100 * mean(one.top1 - one.full for one in self.seeds.values())

    @property
    def p(self) -> float:
        """McNemar's exact p that as many videos turned right as wrong, over all seeds."""
        return mcnemar(
            sum(one.right_to_wrong for one in self.seeds.values()),
            sum(one.wrong_to_right for one in self.seeds.values()),
        )

    @property
    def size(self) -> str:
        """What is gone or left: ``5 layers``; of every seed where they differ."""
        return ", ".join(dict.fromkeys(one.size for one in self.seeds.values()))


@dataclass(frozen=True)
class Front:
    """All that was made of one model on one dataset.

    Attributes:
        model: its name.
        dataset: likewise.
        heading: ``MViT on DAI``.
        full_ms: the full model's latency, the median over jobs.
        points: the full model first.
        holes: place of a cell or evaluation -> why it is no point.
    """

    model: str
    dataset: str
    heading: str
    full_ms: float
    points: Sequence[Point]
    holes: Mapping[str, str]

    @property
    def name(self) -> str:
        """For files: ``dai-mvit``."""
        return f"{self.dataset}-{self.model}"

    @property
    def best(self) -> list[Point]:
        """The points that no other one dominates, the fastest first.

        Shares of latency are compared in whole percents, as no measurement is finer.
        """
        pairs = [(round(point.share, 2), point.top1) for point in self.points]
        return [self.points[i] for i in non_dominated(pairs)]

    def p_holm(self) -> list[float | None]:
        """Of every one of :attr:`best` its p, corrected by Holm; None of the full model."""
        tested = [point for point in self.best if point.way.what != FULL]
        corrected = iter(holm([point.p for point in tested]))
        return [None if point.way.what == FULL else next(corrected) for point in self.best]

    def table(self) -> pd.DataFrame:
        """A row a point, the fastest first.

        Returns:
            ``model``, ``dataset``, ``way``, ``recovery``, ``size``; ``share`` of the full model's
            latency and ``latency_ms``; ``top1`` in percent with ``low`` and ``high``, see
            :attr:`Point.ends`; ``change`` from the full model in points and McNemar's ``p``;
            ``front``, whether no other point dominates it; ``seeds``; ``command``.
        """
        best = self.best
        rows = [
            (
                self.model, self.dataset, str(point.way._replace(recovery="")), point.way.recovery,
                point.size, point.share, point.share * self.full_ms, point.top1, *point.ends,
                point.change, point.p, point in best, " ".join(map(str, point.seeds)),
                point.command,
            )
            for point in sorted(self.points, key=lambda point: point.share)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    "model", "dataset", "way", "recovery", "size", "share", "latency_ms", "top1", "low", "high",
    "change", "p", "front", "seeds", "command",
]  # fmt: skip


def non_dominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (cost, gain) no other one dominates, by ascending cost.

    One dominates another if it costs no more and gains no less, and is better in one of the two.
    Of those that are alike the first counts.

    Example:
        >>> non_dominated([(1.0, 90.0), (0.5, 80.0), (0.6, 70.0)])
        [1, 0]
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def read_fronts(sweep: Sweep) -> list[Front]:
    """The front of each model and dataset of which a sweep has ways to compare by latency.

    Those are sweeps over budgets or scopes, and such below whose directory there are evaluations
    with a cheaper input (``frames=`` and ``size=`` of evaluate.py). An evaluation counts only if
    it is of the checkpoint and the test videos of one of the sweep's cells; a point counts only if
    it is there for every seed.
    """
    if sweep.single:
        return []
    inputs = read_cheaper_inputs(sweep.directory)
    fronts = []
    for (dataset, model), cells in sweep.finished.groupby(["dataset", "model"], sort=False):
        own = {
            place: results
            for place, results in inputs.items()
            if (results["dataset"]["name"], results["model"]["name"]) == (dataset, model)
        }
        budgeted = any("budget" in results for results in cells["results"])
        if not (own or budgeted or len({group.scope for group in cells["group"]}) > 1):
            continue
        unfinished = sweep.unfinished
        unfinished = unfinished[(unfinished["dataset"] == dataset) & (unfinished["model"] == model)]
        holes = {c.place: c.error or "started, without results" for c in unfinished.itertuples()}
        seeds = {_seen(results): results["seed"] for results in cells["results"]}
        found: dict[tuple[Way, str], dict[int, Measured]] = {}
        for cell in cells.itertuples():
            for way, command, measured in _of_cell(cell):
                found.setdefault((way, command), {})[cell.results["seed"]] = measured
        for place, results in own.items():
            if (seed := seeds.get(_seen(results))) is None:
                holes[place] = "of another checkpoint or other videos than the sweep's cells"
            else:
                way, command, measured = _of_input(results)
                found.setdefault((way, command), {})[seed] = measured
        full = {
            results["seed"]: _measured(
                results["full"], results["full"], results["paired"]["videos"]
            )
            for results in cells["results"]
        }
        points = [Point(Way(FULL), "", full)]
        for (way, command), by_seed in found.items():
            if by_seed.keys() == full.keys():
                points.append(Point(way, command, by_seed))
            else:  # seeds differ by more than ways do
                seen, every = (", ".join(map(str, sorted(seeds))) for seeds in (by_seed, full))
                which = "seed" if len(by_seed) == 1 else "seeds"
                holes[f"{way} ({command})"] = f"of {which} {seen} alone, others of {every}"
        heading = f"{cells['group'].iloc[0].title} on {title(dataset)}"
        full_ms = float(cells["full.latency_ms"].median())
        fronts.append(Front(model, dataset, heading, full_ms, points, holes))
    return fronts


def _seen(results: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be the same for models to be compared: the checkpoint, files, and their views."""
    views = results["settings"]["dataset"].get("views")
    return results.get("ckpt_digest"), results["dataset"].get("files"), str(views)


def _measured(
    smaller: Mapping[str, Any],
    full: Mapping[str, Any],
    videos: int,
    paired: Mapping[str, Any] | None = None,
    size: str = "",
) -> Measured:
    lost, won = ((paired or {}).get(name, 0) for name in ("right_to_wrong", "wrong_to_right"))
    share = smaller["latency_ms"] / full["latency_ms"]
    return Measured(share, smaller["top1"], full["top1"], videos, lost, won, size)


def _of_cell(cell: Any) -> Iterator[tuple[Way, str, Measured]]:
    """The one or two models of a cell: as dropped, and recovered."""
    results, scope = cell.results, cell.group.scope
    lowest = cell.direction == "lowest" or cell.metric == RANDOM
    settings = [name for name in cell.group.settings if not name.startswith("scope=")]
    what = ", ".join([called(scope), *settings])
    choice = cell.metric if lowest else f"{cell.direction} {cell.metric}"
    words = [] if scope == "layer" else [f"scope={scope}"]
    words += [f"metric={cell.metric}"]
    words += [] if cell.direction == "lowest" else [f"direction={cell.direction}"]
    words += settings
    limits = results.get("budget", {}).get("limits", {})
    words += [f"budget.{name}={limit:g}" for name, limit in limits.items()] or [f"k={cell.k}"]
    name, *keys = cell.recovery.split(", ")
    recover = [f"recover={name}", *(f"recover.{key}" for key in keys)] if name else []
    videos, gone = results["paired"]["videos"], counted(cell.k, scope)
    full = results["full"]
    # A budget allows for what recovery will add: with and without it not the same units go.
    as_dropped = [*words, *recover] if limits else words
    yield (
        Way(what, choice), " ".join(as_dropped),
        _measured(results["pruned"], full, videos, results["paired"], gone),
    )  # fmt: skip
    if "recovered" in results:
        paired = results["recovery"]["paired"]["full"]
        yield (
            Way(what, choice, cell.recovery), " ".join([*words, *recover]),
            _measured(results["recovered"], full, videos, paired, gone),
        )  # fmt: skip


def _of_input(results: Mapping[str, Any]) -> tuple[Way, str, Measured]:
    """The model of an evaluation with a cheaper input."""
    own, given = results["own_input"], results["clip_settings"]
    frames, size = given["num_frames"], given["image_size"]
    changed = {
        f"frames={frames}": frames != own["num_frames"], f"size={size}": size != own["image_size"],
    }  # fmt: skip
    words = [word for word, differs in changed.items() if differs]
    what = BOTH if len(words) == 2 else FRAMES if words[0].startswith("frames") else SIZE
    told = f"{frames} frames of {size} pixels"
    paired = own["paired"]
    return Way(what), " ".join(words), _measured(results, own, paired["videos"], paired, told)
