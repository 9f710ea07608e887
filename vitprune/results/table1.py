"""Table 1 in the paper's layout, from the cells of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import pandas as pd

from vitprune.results.groups import Group, ordered, rank
from vitprune.results.paper import DATASETS, DIRECTIONS, METRICS, table1
from vitprune.results.reading import Sweep, leakage, left_out, read_answers
from vitprune.results.statistics import proportion_interval

State = Literal["finished", "failed", "started", "missing"]
KEYS = ["group", "direction", "metric", "dataset"]
FIELDS = ["state", "top1", "low", "high", "paper", "error"]
FULL = "full"
"""What stands for a direction in the row of a full model, which has no metric."""


class TableRow(NamedTuple):
    """One row: a direction and a metric of a group, or the group's full model.

    Attributes:
        entries: of every dataset, with :data:`FIELDS` as attributes, None where there is nothing.
    """

    group: Group
    direction: str
    metric: str
    entries: list[Any]


@dataclass(frozen=True)
class Table1:
    """The table.

    Attributes:
        datasets: the columns.
        entries: every place of the table, row by row, by :data:`KEYS`: in the paper's order, under
            each group first its full model. :data:`FIELDS` are its :data:`State`; Top-1 in percent,
            of the pruned model or the full one; the ends of Wilson's 95 % interval, the test videos
            taken as drawn one by one; the paper's figure at this place; the error of a failed cell.
        videos: dataset -> how many test videos, where known.
        on_test: how many cells measured relevance on the test split, which they are tested on.
        failures: place and error of every failed cell.
        leakage: place of every cell whose checkpoint was trained on its clips, and on how many.
        left_out: place of every cell whose figures do not cover all clips, and how many not.
    """

    datasets: list[str]
    entries: pd.DataFrame
    videos: dict[str, int]
    on_test: int
    failures: list[tuple[str, str]]
    leakage: list[tuple[str, str]]
    left_out: list[tuple[str, str]]

    @property
    def from_paper(self) -> set[str]:
        """Which datasets have a figure of the paper anywhere."""
        return set(self.entries.loc[self.entries["paper"].notna(), "dataset"])

    @property
    def rows(self) -> list[TableRow]:
        """The entries, row by row."""
        entries = self.entries.astype(object).where(self.entries.notna(), None)
        rows = entries.groupby(KEYS[:3], sort=False)
        return [TableRow(*(*keys, list(row.itertuples()))) for keys, row in rows]

    def count(self, *states: State) -> int:
        """How many cells of pruned models are in one of ``states``; without any, all."""
        found = self.entries.loc[self.entries["direction"] != FULL, "state"]
        return int(found.isin(states).sum()) if states else len(found)


def build_table(sweep: Sweep) -> Table1:
    """Lay the cells out as in the paper's Table 1.

    Rows are those that hold a cell; in a sweep, all that its grid has. Settings that the
    layout does not show (seed, strategy, ...) and that differ between cells divide a model's rows
    into groups.
    """
    cells = sweep.cells.dropna(subset=["group"]).drop_duplicates(KEYS, keep="last")
    places = _places(sweep, cells)
    finished = cells[cells["state"] == "finished"]
    full = finished.drop_duplicates(["group", "dataset"], keep="last")
    found = [
        *_entries(cells, "pruned"),
        *_entries(full.assign(direction=FULL, metric=""), "full"),
    ]
    fields = pd.DataFrame(found, columns=[*KEYS, "state", "top1", "low", "high", "tiny", "error"])
    entries = places.merge(fields, how="left", on=KEYS)
    entries["state"] = entries["state"].fillna("missing")
    # The tiny variants have the paper's names and depths, but are not its models.
    entries["paper"] = [
        None if e.tiny is True
        else table1().get((e.group.model, e.group.k, e.direction, e.metric, e.dataset))
        for e in entries.itertuples()
    ]  # fmt: skip
    results = sweep.finished["results"]
    videos = dict(zip(finished["dataset"], finished["paired.videos"], strict=True))
    split = [r["calibration"]["split"] for r in results if r["calibration"]["clips"]]
    failed = sweep.cells[sweep.cells["state"] == "failed"]
    leaks = zip(sweep.finished["place"], results.map(leakage), strict=True)
    lost = zip(sweep.finished["place"], results.map(left_out), strict=True)
    return Table1(
        datasets=list(places["dataset"].unique()),
        entries=entries[[*KEYS, *FIELDS]],
        videos={name: int(videos[name]) for name in places["dataset"].unique() if name in videos},
        on_test=split.count("test"),
        failures=list(zip(failed["place"], failed["error"], strict=True)),
        leakage=[(place, how) for place, how in leaks if how],
        left_out=[(place, how) for place, how in lost if how],
    )


def _places(sweep: Sweep, cells: pd.DataFrame) -> pd.DataFrame:
    """The :data:`KEYS` of every place of the table, row by row."""

    def values(axis: str) -> set[str]:
        """What an axis of the sweep's grid has, finished or not."""
        return {*cells[axis], *sweep.asked.get(axis, ())}

    grid = {*product(values("direction"), values("metric"))} if sweep.asked else set()
    groups = {*cells["group"], *(Group(model) for model in values("model") - {*cells["model"]})}
    places = []
    for group in sorted(groups, key=lambda group: group.order):
        own = cells[cells["group"] == group]
        rows = {*zip(own["direction"], own["metric"], strict=True), *grid}
        in_order = sorted(rows, key=lambda row: (rank(row[0], DIRECTIONS), rank(row[1], METRICS)))
        places += [(group, *row) for row in [(FULL, ""), *in_order]]
    datasets = ordered(values("dataset"), DATASETS)
    return pd.DataFrame([(*row, name) for row in places for name in datasets], columns=KEYS)


def _entries(cells: pd.DataFrame, model: str) -> list[dict[str, Any]]:
    """What the places of ``cells`` show of their full or pruned model."""
    entries = []
    for cell in cells.itertuples():
        entry = {name: getattr(cell, name) for name in (*KEYS, "state", "error")}
        entry["tiny"] = cell.settings.get("model.variant") == "tiny"
        if cell.state == "finished":
            entry["top1"] = 100 * cell.results[model]["top1"]
            answers = read_answers(cell.path)
            if len(answers):
                hits = int((answers[model] == answers["label"]).sum())
                low, high = proportion_interval(hits, len(answers))
                entry |= {"low": 100 * low, "high": 100 * high}
        entries.append(entry)
    return entries
