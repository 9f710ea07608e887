"""Table 1 in the paper's layout, from the cells of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

import pandas as pd

from vitprune.results.groups import SEED, Group, ordered, rank
from vitprune.results.paper import DATASETS, DIRECTIONS, METRICS, table1
from vitprune.results.reading import Sweep, leakage, left_out, read_answers
from vitprune.results.statistics import proportion_interval

State = Literal["finished", "failed", "started", "missing"]
KEYS = ["group", "direction", "metric", "dataset"]
FIELDS = ["state", "top1", "low", "high", "seeds", "spread", "paper", "error"]
UNFINISHED: tuple[State, ...] = ("failed", "started", "missing")
"""What is said of a place without a figure, if several seeds have several."""
RECOVERED = ", "
"""Between a metric and the recovery of a row of recovered models."""
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
            of the pruned model or the full one, the mean over seeds; of one seed the ends of
            Wilson's 95 % interval, the test videos taken as drawn one by one; how many seeds are
            finished; of several the standard deviation of Top-1 over them; the paper's figure at
            this place; the error of a failed cell.
        states: of every cell of a pruned model, each seed a cell.
        videos: dataset -> how many test videos, where known.
        on_test: how many cells measured relevance on the test split, which they are tested on.
        failures: place and error of every failed cell.
        leakage: place of every cell whose checkpoint was trained on its clips, and on how many.
        left_out: place of every cell whose figures do not cover all clips, and how many not.
    """

    datasets: list[str]
    entries: pd.DataFrame
    states: list[State]
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
        return sum(state in states for state in self.states) if states else len(self.states)


def build_table(sweep: Sweep) -> Table1:
    """Lay the cells out as in the paper's Table 1.

    Rows are those that hold a cell; in a sweep, all that its grid has. Settings that the
    layout does not show (strategy, ...) and that differ between cells divide a model's rows into
    groups; but for the seed, over which there are mean and spread.
    """
    cells = sweep.cells.dropna(subset=["group"])
    cells = cells.assign(
        group=[replace(group, seed=None) for group in cells["group"]],
        seed=[str(settings.get(SEED)) for settings in cells["settings"]],
    ).drop_duplicates([*KEYS, SEED, "recovery"], keep="last")
    places = _places(sweep, cells)
    finished = cells[cells["state"] == "finished"]
    full = finished.drop_duplicates(["group", "dataset", SEED], keep="last")
    by_place: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    recovered = cells[cells["recovery"] != ""]
    recovered = recovered.assign(metric=recovered["metric"] + RECOVERED + recovered["recovery"])
    dropped = cells.sort_values("recovery", ascending=False, kind="stable")  # none comes last
    for entry in (
        *_entries(dropped.drop_duplicates([*KEYS, SEED], keep="last"), "pruned"),
        *_entries(recovered, "recovered"),
        *_entries(full.assign(direction=FULL, metric=""), "full"),
    ):
        by_place.setdefault(tuple(entry[name] for name in KEYS), []).append(entry)
    # Cells that recover say by the way what dropping alone leaves: no cells of their own.
    ends = {tuple(row) for row in cells.loc[cells["recovery"] == "", KEYS].itertuples(index=False)}
    only_dropped = {tuple(row) for row in cells[KEYS].itertuples(index=False)} - ends
    states: list[State] = []
    rows = []
    for place in places.itertuples(index=False, name=None):
        of_seeds = by_place.get(place, [])
        seeds = {entry[SEED] for entry in of_seeds}
        missing = len({*sweep.asked.get(SEED, ())} - seeds) or int(not seeds)
        known: list[State] = [entry["state"] for entry in of_seeds]
        known += ["missing" for _ in range(missing)]
        rows.append({**dict(zip(KEYS, place, strict=True)), **_over_seeds(of_seeds, known)})
        if place[KEYS.index("direction")] != FULL and place not in only_dropped:
            states += known
    entries = pd.DataFrame(rows, columns=[*KEYS, *FIELDS, "tiny"])
    # The paper drops layers. The tiny variants have its names and depths, but are not its models.
    entries["paper"] = [
        None if e.tiny is True or e.group.scope != "layer"
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
        states=states,
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
        labels = own["metric"] + RECOVERED + own["recovery"]
        recovered = own["recovery"] != ""
        rows |= {*zip(own["direction"][recovered], labels[recovered], strict=True)}
        in_order = sorted(rows, key=_order)
        places += [(group, *row) for row in [(FULL, ""), *in_order]]
    datasets = ordered(values("dataset"), DATASETS)
    return pd.DataFrame([(*row, name) for row in places for name in datasets], columns=KEYS)


def _order(row: tuple[str, str]) -> tuple[Any, ...]:
    """A key to sort a direction and a metric by; recovered models are below what was dropped."""
    direction, metric = row
    name, _, recovery = metric.partition(RECOVERED)
    return rank(direction, DIRECTIONS), rank(name, METRICS), recovery


def _over_seeds(entries: list[dict[str, Any]], states: list[State]) -> dict[str, Any]:
    """:data:`FIELDS` of a place from those of its seeds, and whether it is of a tiny model."""
    finished = [entry for entry in entries if entry["state"] == "finished"]
    tiny = any(entry["tiny"] for entry in entries)
    if not finished:
        state = next(state for state in UNFINISHED if state in states)
        errors = [entry["error"] for entry in entries if entry["error"]]
        return {"state": state, "seeds": 0, "tiny": tiny, "error": errors[0] if errors else None}
    top1 = [entry["top1"] for entry in finished]
    found = {"state": "finished", "seeds": len(top1), "tiny": tiny, "top1": mean(top1)}
    if len(top1) > 1:
        return {**found, "spread": stdev(top1)}
    return {**found, **{name: finished[0].get(name) for name in ("low", "high")}}


def _entries(cells: pd.DataFrame, model: str) -> list[dict[str, Any]]:
    """What the places of ``cells`` show of their full or pruned model."""
    entries = []
    for cell in cells.itertuples():
        entry = {name: getattr(cell, name) for name in (*KEYS, SEED, "state", "error")}
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
