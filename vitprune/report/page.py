"""A sweep or a run as one page to look at."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from vitprune.report import sections
from vitprune.report.curves import LEFT, NOTES, CurveTable
from vitprune.report.exported import HEADER as EXPORTED
from vitprune.report.exported import exported_notes, exported_rows, quantised_so
from vitprune.report.formats import (
    AGREEMENT,
    ALPHA,
    FULL_MODEL,
    TEST_HEADER,
    TESTS,
    WORDS,
    agreement,
    figure,
    interval,
    notes,
    p_said,
    signed,
    tests,
    verdict,
    what_went,
)
from vitprune.report.front import HEADER as FRONT
from vitprune.report.front import LEFT as FRONT_LEFT
from vitprune.report.front import NOTES as FRONT_NOTES
from vitprune.report.front import front_heading, front_rows, hole_notes
from vitprune.report.style import COLOURS, DARK
from vitprune.report.terminal import interval_of, searched, spent
from vitprune.results.front import Front
from vitprune.results.groups import ordered
from vitprune.results.paper import DIRECTIONS, called, title
from vitprune.results.reading import (
    Sweep,
    card_of,
    dropped,
    leakage,
    left_out,
    read_scores,
    smallest,
)
from vitprune.results.safety import NOTABLE
from vitprune.results.table1 import FULL, State, Table1
from vitprune.results.writing import RESULTS


@dataclass(frozen=True)
class Tile:
    """A figure that is seen first."""

    name: str
    value: str
    note: str = ""


def templates() -> Environment:
    """The pages' templates, with what all of them use."""
    environment = Environment(
        loader=PackageLoader("vitprune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"title": title, "figure": figure, "interval": interval}
    environment.globals |= {"colours": COLOURS, "dark": DARK}
    return environment


def render(
    sweep: Sweep,
    table: Table1,
    pairs: pd.DataFrame,
    curves: Sequence[CurveTable] = (),
    fronts: Sequence[Front] = (),
) -> str:
    """The page: one file that needs no other."""
    cells = list(sweep.finished.itertuples())
    return (
        templates()
        .get_template("report.html.jinja")
        .render(
            heading=_heading(cells[0]) if sweep.single else _sweep_heading(sweep, fronts),
            source=sweep.directory.resolve().name,
            tiles=_cell_tiles(cells[0]) if sweep.single else _sweep_tiles(sweep, table, pairs),
            table=table,
            full=FULL,
            full_model=FULL_MODEL,
            notes=notes(table, sweep.older),
            words=WORDS,
            verdict=verdict(pairs),
            compared=len(pairs) > 0,
            tests=(TEST_HEADER, tests(pairs), TESTS),
            agreement=(*agreement(pairs), AGREEMENT),
            cost=_cost_rows(sweep),
            exported=_exported(sweep),
            curves=sections.curves([found.measured for found in curves]),
            curve_tables=curves,
            curve_notes=NOTES,
            curve_left=LEFT,
            front=sections.front(fronts),
            front_tables=[(front_heading(one), front_rows(one), hole_notes(one)) for one in fronts],
            front_header=FRONT,
            front_left=FRONT_LEFT,
            front_notes=FRONT_NOTES,
            over_k=sections.over_k(sweep),
            recovery=sections.recovery(sweep),
            relevance=sections.relevance(sweep),
            costs=sections.costs(sweep),
            safety=sections.safety(sweep),
            training=sections.training(sweep),
            command=_command(sweep),
            facts=_facts(sweep),
            cells=[_cell_row(cell) for cell in cells],
            failed=[(c.place, c.error or WORDS["started"]) for c in sweep.unfinished.itertuples()],
        )
    )


def _heading(cell: Any) -> str:
    recovered = f", recovered by {cell.recovery}" if cell.recovery else ""
    return f"{cell.group.title} on {title(cell.dataset)}: {what_went(cell.results)}{recovered}"


def _sweep_heading(sweep: Sweep, fronts: Sequence[Front]) -> str:
    if fronts:
        return "What a faster model costs"
    recovers = (sweep.cells["recovery"] != "").any()
    return "What recovery gives back" if recovers else "Table 1: which layers can go"


def _cell_tiles(cell: Any) -> list[Tile]:
    full, paired = cell.results["full"], cell.results["paired"]
    name = smallest(cell.results)
    pruned, left = cell.results[name], ""
    if name == "recovered":
        recovery = cell.results["recovery"]
        paired = recovery["paired"]["full"]
        left = (
            f"as dropped {100 * cell.results['pruned']['top1']:.2f} %, recovered by "
            f"{cell.recovery} in {_duration(recovery['seconds'])}; "
        )
    gone, every = dropped(cell.results), list(read_scores(cell.path).index)
    in_order = [unit for unit in every if unit in gone] or gone
    return [
        Tile(
            "Top-1",
            f"{100 * pruned['top1']:.2f} %",
            f"95 % interval {interval_of(pruned['top1'], paired['videos'])}; {left}full model "
            f"{100 * full['top1']:.2f} %; {paired['right_to_wrong']} of "
            f"{paired['videos']} videos turned wrong, {paired['wrong_to_right']} right "
            f"(McNemar {p_said(paired['p_value'])})",
        ),
        _change("Parameters", full, pruned, "parameters", 1e6, "M"),
        _change("FLOPs per clip", full, pruned, "flops", 1e9, "G"),
        _change("Latency per clip", full, pruned, "latency_ms", 1, "ms"),
        Tile(
            f"Dropped {called(cell.group.scope)}",
            ", ".join(in_order),
            f"of {len(every)}" if every else "",
        ),
        *_safety_tiles(cell),
    ]


def _safety_tiles(cell: Any) -> list[Tile]:
    if (card := card_of(cell.results)) is None:
        return []
    lost = [f"{one.name} {signed(one.points, 1)}" for one in card.lost()]
    ece = " → ".join(f"{100 * card.ece[name]:.1f}" for name in ("full", "smaller"))
    return [
        Tile(
            f"Classes that lost more than {NOTABLE:g} points",
            str(len(lost)),
            f"of {len(card.groups.get('class', ()))}" + (f": {', '.join(lost)}" if lost else ""),
        ),
        Tile("Calibration error", f"{ece} %", "of confidence, expected over 15 bins (ECE)"),
    ]


def _change(name: str, full: Any, pruned: Any, key: str, scale: float, unit: str) -> Tile:
    return Tile(
        name,
        _percent(pruned[key], full[key]),
        f"{full[key] / scale:.3g} → {pruned[key] / scale:.3g} {unit}",
    )


def _sweep_tiles(sweep: Sweep, table: Table1, pairs: pd.DataFrame) -> list[Tile]:
    states: dict[State, str] = {"failed": "failed", "started": "unfinished", "missing": "missing"}
    left = [f"{count} {word}" for state, word in states.items() if (count := table.count(state))]
    done = f"{table.count('finished')} of {table.count()}"
    tiles = [Tile("Cells", done, ", ".join(left) or "all done")]
    cells = sweep.finished
    changes = 100 * (cells["pruned.top1"] - cells["full.top1"])
    for direction in ordered(cells["direction"], DIRECTIONS):
        name, note = f"Top-1, {direction} dropped", "change in percentage points, over all cells"
        tiles.append(Tile(name, _range(changes[cells["direction"] == direction], 1), note))
    recovered = cells[cells["recovery"] != ""]
    for name in dict.fromkeys(recovered["recovery"]):
        own = recovered[recovered["recovery"] == name]
        change = 100 * (own["recovered.top1"] - own["full.top1"])
        note = "change in percentage points, over all cells"
        tiles.append(Tile(f"Top-1, recovered by {name}", _range(change, 1), note))
    if len(cells):
        latency = 100 * (cells["pruned.latency_ms"] / cells["full.latency_ms"] - 1)
        tiles.append(
            Tile("Latency", f"{_range(latency, 0)} %", "of a clip, against the full model")
        )
    if len(pairs):
        value = f"{(pairs['p_holm'] < ALPHA).sum()} of {len(pairs)}"
        note = f"pairs of metrics; {(pairs['jaccard'] == 1).sum()} drop the same units"
        tiles.append(Tile("Significant differences", value, note))
    return tiles


def _range(values: Iterable[float], digits: int) -> str:
    ends = [signed(value, digits) for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def _cost_rows(sweep: Sweep) -> list[list[str]]:
    rows = []
    for _, cells in sections.by_place(sweep):
        for cell in cells.itertuples():
            full, pruned = cell.results["full"], cell.results[smallest(cell.results)]
            metric = ", ".join(filter(None, [cell.metric, cell.recovery]))
            rows.append([
                cell.group.title, title(cell.dataset), cell.direction, metric, str(cell.k),
                signed(100 * (pruned["top1"] - full["top1"]), 2),
                *(_percent(pruned[key], full[key])
                  for key in ("parameters", "flops", "latency_ms", "checkpoint_bytes")),
            ])  # fmt: skip
    return rows


def _exported(sweep: Sweep) -> tuple[list[str], list[list[str]], list[str]] | None:
    """Header and rows of what was exported, and where it was measured."""
    found = [cell for cell in sweep.finished.itertuples() if "exported" in cell.results]
    cells = [cell for cell in found if "batch" in cell.results["exported"]]  # older ones have less
    if not cells:
        return None
    rows = [[cell.place, *row] for cell in cells for row in exported_rows(cell.results["exported"])]
    notes = [note for cell in cells for note in exported_notes(cell.results["exported"])]
    notes += [
        f"{cell.place}: {note}" for cell in cells for note in quantised_so(cell.results["exported"])
    ]
    return ["Cell", *EXPORTED], rows, [*dict.fromkeys(notes)]


def _command(sweep: Sweep) -> str:
    words = ["-m", *sweep.command] if sweep.command else []
    if sweep.single:
        words = sweep.finished["overrides"].iloc[0]
    return shlex.join(["python", "prune.py", *words]) if words else ""


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    """What all cells share, or every value that they have."""
    facts: dict[str, list[str]] = {}

    def note(name: str, value: object) -> None:
        text = "none" if value is None else str(value)
        if text not in facts.setdefault(name, []):
            facts[name].append(text)

    results = list(sweep.finished["results"])
    for model in (r["model"] for r in results):
        size = f"{model['num_frames']} frames of {model['image_size']} pixels"
        note(model.get("title") or title(model["name"]), f"{model['variant']}, {size}")
    for r in results:
        calibration = r["calibration"]
        split = f"{calibration['clips']} clips of the {calibration['split']} split"
        note(f"Calibration, {title(r['dataset']['name'])}", split)
    for r in results:
        for name in ("seed", "strategy", "target", "precision"):
            note(name.capitalize(), r[name])
    for cell in sweep.finished.itertuples():
        if budget := cell.results.get("budget"):
            told = spent(budget)
            note("Budget", told if sweep.single else f"{cell.place}: {told}")
        if search := cell.results.get("search"):
            told = searched(search)
            note("Search", told if sweep.single else f"{cell.place}: {told}")
        if how := leakage(cell.results):
            note("Leakage", how if sweep.single else cell.place)
        if how := left_out(cell.results):
            note("Left out", how if sweep.single else f"{cell.place}: {how}")
    for found in (dict(r["environment"]) for r in results):
        note("Commit", found.pop("commit", None))
        system, cpus = found.pop("system", "unknown system"), found.pop("cpus", "?")
        note("Machine", f"{system}, {cpus} CPUs, computing on {found.pop('device', '?')}")
        note("Versions", ", ".join(f"{name} {version}" for name, version in found.items()))
    times = [(path / RESULTS).stat().st_mtime for path in sweep.finished["path"]]
    if times:
        shown = [
            f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M}" for t in (min(times), max(times))
        ]
        note("Finished (UTC)", " to ".join(dict.fromkeys(shown)))
        note("Time of all cells", _duration(sweep.finished["seconds.total"].sum()))
    return [(name, "; ".join(values)) for name, values in facts.items()]


def _cell_row(cell: Any) -> tuple[str, str, str, str]:
    return (
        cell.place,
        ", ".join(dropped(cell.results)),
        _duration(cell.results["seconds"]["total"]),
        shlex.join(cell.overrides),
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _percent(value: float, reference: float) -> str:
    return f"{signed(100 * (value / reference - 1), 1)} %"
