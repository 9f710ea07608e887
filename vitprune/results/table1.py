"""Table 1 in the paper's layout, from the cells of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitprune.results.paper import (
    DATASETS,
    DIRECTIONS,
    METRICS,
    TITLES,
    Place,
    layers,
    table1,
    title,
)
from vitprune.results.reading import Cell, Settings, Sweep, Unfinished
from vitprune.results.statistics import proportion_interval

State = Literal["finished", "failed", "started", "missing"]


@dataclass(frozen=True)
class Group:
    """The rows that belong to one model: its name, k, and settings that vary within the sweep."""

    model: str
    k: int | None
    extras: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> list[str]:
        """``["seed=1"]``: the settings that vary."""
        return [f"{name}={value}" for name, value in self.extras]

    @property
    def label(self) -> str:
        """``MViT (5 layers pruned)``."""
        inside = [] if self.k is None else [f"{layers(self.k)} pruned"]
        inside += self.settings
        return title(self.model) + (f" ({', '.join(inside)})" if inside else "")

    @property
    def name(self) -> str:
        """``MViT, k=5``."""
        k = [] if self.k is None else [f"k={self.k}"]
        return ", ".join([title(self.model), *k, *self.settings])

    @property
    def order(self) -> tuple[int, str, int, str]:
        """A key to sort by: the paper's models first, in its order."""
        names = [*TITLES]
        rank = names.index(self.model) if self.model in names else len(names)
        return rank, self.model, self.k or 0, str(self.extras)


@dataclass(frozen=True)
class Entry:
    """What one place of the table shows. Figures are in percent.

    Attributes:
        state: whether there is a figure, or why there is none.
        top1: of the pruned model, or of the full one in its row.
        interval: Wilson's 95 % interval, the test videos taken as drawn one by one.
        paper: what the paper has at this place.
        error: of a failed cell, one line.
    """

    state: State
    top1: float | None = None
    interval: tuple[float, float] | None = None
    paper: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Row:
    """One row: a direction and a metric of a group, or (both None) the group's full model."""

    group: Group
    direction: str | None
    metric: str | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table1:
    """The table: an entry for every row and dataset.

    Attributes:
        datasets: the columns.
        rows: in the paper's order, under each group first its full model.
        from_paper: which datasets have a figure of the paper anywhere.
        videos: dataset -> how many test videos, where known.
        on_test: how many cells measured relevance on the test split, which they are tested on.
        failures: place and error of every failed cell.
        leakage: place of every cell whose checkpoint was trained on its clips, and on how many.
    """

    datasets: tuple[str, ...]
    rows: tuple[Row, ...]
    from_paper: frozenset[str]
    videos: dict[str, int]
    on_test: int
    failures: tuple[tuple[str, str], ...]
    leakage: tuple[tuple[str, str], ...] = ()

    def count(self, *states: State) -> int:
        """How many cells of pruned models are in one of ``states``; without any, all."""
        entries = [e for row in self.rows if row.metric is not None for e in row.entries]
        return sum(not states or entry.state in states for entry in entries)


class Where(NamedTuple):
    """The place of a cell in the table."""

    group: Group
    direction: str
    metric: str
    dataset: str


def build_table(sweep: Sweep) -> Table1:
    """Lay the cells out as in the paper's Table 1.

    Rows are those that hold a cell; in a sweep, all that its grid has. Settings that the
    layout does not show (seed, strategy, ...) and that differ between cells divide a model's rows
    into groups.
    """
    states: dict[Settings, Cell | Unfinished] = {
        cell.settings: cell for cell in sweep.unfinished if cell.settings is not None
    }
    states |= {cell.settings: cell for cell in sweep.cells}
    names = varying(states)
    cells = {
        Where(group_of(one, names), one.direction, one.metric, one.dataset): cell
        for one, cell in states.items()
    }

    def values(axis: str) -> set[str]:
        """What an axis of the sweep's grid has, finished or not."""
        return {getattr(where, axis) for where in cells} | set(sweep.asked.get(axis, ()))

    datasets = ordered(values("dataset"), DATASETS)
    grid = set(product(values("direction"), values("metric"))) if sweep.asked else set()
    rows = []
    for group in _groups(sweep, {where.group for where in cells}):
        own = {where: cell for where, cell in cells.items() if where.group == group}
        any_cell = {where.dataset: cell for where, cell in own.items() if isinstance(cell, Cell)}
        full = tuple(_full(any_cell.get(dataset)) for dataset in datasets)
        rows.append(Row(group, None, None, full))
        wanted = grid | {(where.direction, where.metric) for where in own}
        for direction in ordered({d for d, _ in wanted}, DIRECTIONS):
            for metric in ordered({m for d, m in wanted if d == direction}, METRICS):
                places = [Where(group, direction, metric, dataset) for dataset in datasets]
                entries = tuple(_entry(where, own.get(where)) for where in places)
                rows.append(Row(group, direction, metric, entries))
    videos = {cell.settings.dataset: cell.results["paired"]["videos"] for cell in sweep.cells}
    return Table1(
        datasets=tuple(datasets),
        rows=tuple(rows),
        from_paper=frozenset(
            dataset
            for row in rows
            for dataset, entry in zip(datasets, row.entries, strict=True)
            if entry.paper is not None
        ),
        videos={name: count for name in datasets if (count := videos.get(name))},
        on_test=sum(_calibrated_on_test(cell) for cell in sweep.cells),
        failures=tuple((sweep.place(cell), cell.error or "") for cell in sweep.failed),
        leakage=tuple((sweep.place(cell), cell.leakage) for cell in sweep.cells if cell.leakage),
    )


def varying(settings: Iterable[Settings]) -> list[str]:
    """The settings outside the table's axes that differ between cells of one model and dataset.

    Of several that always differ together, such as a seed and what is derived from it, only the
    one with the shortest name.
    """
    settings = [one for one in settings if one.others]
    by_pattern: dict[tuple[int, ...], str] = {}
    names = {name for one in settings for name, _ in one.others}
    for name in sorted(names, key=lambda name: (name.count("."), len(name), name)):
        seen: dict[tuple[str, str], list[Any]] = {}
        pattern = []
        for one in settings:
            values = seen.setdefault((one.dataset, one.model), [])
            if one.other(name) not in values:
                values.append(one.other(name))
            pattern.append(values.index(one.other(name)))
        if any(pattern):
            by_pattern.setdefault(tuple(pattern), name)
    return list(by_pattern.values())


def group_of(settings: Settings, names: Sequence[str]) -> Group:
    """The group of rows that a cell belongs to, where the settings ``names`` vary."""
    return Group(settings.model, settings.k, tuple((name, settings.other(name)) for name in names))


def ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """``names`` with those in ``first`` in front, in its order, and the others by name."""
    rank = {name: position for position, name in enumerate(first)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _groups(sweep: Sweep, found: set[Group]) -> list[Group]:
    models = set(sweep.asked.get("model", ())) - {group.model for group in found}
    return sorted(found | {Group(model, None) for model in models}, key=lambda group: group.order)


def _full(cell: Cell | None) -> Entry:
    if cell is None:
        return Entry("missing")
    hits = cell.answers.full_hits if cell.answers else None
    return Entry("finished", 100 * cell.results["full"]["top1"], _interval(hits))


def _entry(where: Where, cell: Cell | Unfinished | None) -> Entry:
    paper = None
    group, direction, metric, dataset = where
    # The tiny variants have the paper's names and depths, but are not its models.
    if group.k is not None and (cell is None or cell.settings is None or not _tiny(cell.settings)):
        paper = table1().get(Place(group.model, group.k, direction, metric, dataset))
    if isinstance(cell, Cell):
        hits = cell.answers.pruned_hits if cell.answers else None
        top1 = 100 * cell.results["pruned"]["top1"]
        return Entry("finished", top1, _interval(hits), paper)
    if cell is None:
        return Entry("missing", paper=paper)
    return Entry("started" if cell.error is None else "failed", paper=paper, error=cell.error)


def _calibrated_on_test(cell: Cell) -> bool:
    calibration = cell.results["calibration"]
    return calibration["split"] == "test" and calibration["clips"] > 0


def _tiny(settings: Settings) -> bool:
    return settings.other("model.variant") == "tiny"


def _interval(hits: NDArray[np.bool_] | None) -> tuple[float, float] | None:
    if hits is None:
        return None
    low, high = proportion_interval(int(hits.sum()), len(hits))
    return 100 * low, 100 * high
