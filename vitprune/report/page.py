"""A sweep or a run as one page to look at: ``python -m vitprune.report.page DIR``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vitprune.errors import exit_on_bad_input
from vitprune.files import replacing
from vitprune.report import charts
from vitprune.report.formats import (
    AGREEMENT,
    ALPHA,
    TEST_HEADER,
    TESTS,
    WORDS,
    agreement,
    figure,
    interval,
    notes,
    p_text,
    signed,
    tests,
    verdict,
)
from vitprune.report.terminal import interval_of
from vitprune.results.agreement import MetricPair, compare_metrics
from vitprune.results.paper import DIRECTIONS, layers, title
from vitprune.results.reading import Cell, Sweep, sweep_and_seed
from vitprune.results.table1 import State, Table1, build_table, ordered
from vitprune.results.writing import RESULTS

NAME = "report.html"


@dataclass(frozen=True)
class Tile:
    """A figure that is seen first."""

    name: str
    value: str
    note: str = ""


def write_report(sweep: Sweep, *, seed: int = 0) -> Path:
    """Write ``report.html`` into the sweep's directory: one file that needs no other."""
    table, comparisons = build_table(sweep), compare_metrics(sweep, seed=seed)
    path = sweep.directory / NAME
    with replacing(path) as temporary:
        temporary.write_text(render(sweep, table, comparisons), encoding="utf-8")
    return path


def render(sweep: Sweep, table: Table1, comparisons: Sequence[MetricPair]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("vitprune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"title": title, "figure": figure, "interval": interval}
    single = len(sweep.cells) == 1 and not sweep.asked
    return environment.get_template("report.html.jinja").render(
        heading=_heading(sweep, single),
        source=sweep.directory.resolve().name,
        tiles=_cell_tiles(sweep.cells[0]) if single else _sweep_tiles(sweep, table, comparisons),
        table=table,
        notes=notes(table, sweep.older),
        words=WORDS,
        verdict=verdict(comparisons),
        comparisons=comparisons,
        tests=(TEST_HEADER, tests(comparisons), TESTS),
        agreement=(*agreement(comparisons), AGREEMENT),
        cost=_cost_rows(sweep),
        curves=charts.curves(sweep),
        relevance=charts.relevance(sweep),
        costs=charts.costs(sweep),
        training=charts.training(sweep),
        command=_command(sweep),
        facts=_facts(sweep),
        cells=[_cell_row(cell, sweep) for cell in sweep.cells],
        failed=[(sweep.place(cell), cell.error or WORDS["started"]) for cell in sweep.unfinished],
    )


def _heading(sweep: Sweep, single: bool) -> str:
    if not single:
        return "Table 1: which layers can go"
    settings = sweep.cells[0].settings
    return (
        f"{title(settings.model)} on {title(settings.dataset)}: {layers(settings.k)} with the "
        f"{settings.direction} {settings.metric} dropped"
    )


def _cell_tiles(cell: Cell) -> list[Tile]:
    full, pruned, paired = (cell.results[name] for name in ("full", "pruned", "paired"))
    dropped = ", ".join(map(str, sorted(cell.results["dropped"])))
    return [
        Tile(
            "Top-1",
            f"{100 * pruned['top1']:.2f} %",
            f"95 % interval {interval_of(pruned['top1'], paired['videos'])}; full model "
            f"{100 * full['top1']:.2f} %; {paired['right_to_wrong']} of "
            f"{paired['videos']} videos turned wrong, {paired['wrong_to_right']} right "
            f"(McNemar p = {p_text(paired['p_value'])})",
        ),
        _change("Parameters", full, pruned, "parameters", 1e6, "M"),
        _change("FLOPs per clip", full, pruned, "flops", 1e9, "G"),
        _change("Latency per clip", full, pruned, "latency_ms", 1, "ms"),
        Tile("Dropped layers", dropped, f"of {_layers(cell)}" if cell.relevance else ""),
    ]


def _layers(cell: Cell) -> int:
    assert cell.relevance is not None
    return len({unit.split(".")[0] for unit in cell.relevance.units})


def _change(name: str, full: Any, pruned: Any, key: str, scale: float, unit: str) -> Tile:
    return Tile(
        name,
        _percent(pruned[key], full[key]),
        f"{full[key] / scale:.3g} → {pruned[key] / scale:.3g} {unit}",
    )


def _sweep_tiles(sweep: Sweep, table: Table1, comparisons: Sequence[MetricPair]) -> list[Tile]:
    states: dict[State, str] = {"failed": "failed", "started": "unfinished", "missing": "missing"}
    left = [f"{count} {word}" for state, word in states.items() if (count := table.count(state))]
    done = f"{table.count('finished')} of {table.count()}"
    tiles = [Tile("Cells", done, ", ".join(left) or "all done")]
    changes: dict[str, list[float]] = {}
    latency = []
    for cell in sweep.cells:
        full, pruned = cell.results["full"], cell.results["pruned"]
        change = 100 * (pruned["top1"] - full["top1"])
        changes.setdefault(cell.settings.direction, []).append(change)
        latency.append(100 * (pruned["latency_ms"] / full["latency_ms"] - 1))
    for direction in ordered(changes, DIRECTIONS):
        name, note = f"Top-1, {direction} dropped", "change in percentage points, over all cells"
        tiles.append(Tile(name, _range(changes[direction], 1), note))
    if latency:
        tiles.append(
            Tile("Latency", f"{_range(latency, 0)} %", "of a clip, against the full model")
        )
    if comparisons:
        different = sum(c.p_holm is not None and c.p_holm < ALPHA for c in comparisons)
        same = sum(c.overlap == 1 for c in comparisons)
        value = f"{different} of {len(comparisons)}"
        note = f"pairs of metrics; {same} drop the same layers"
        tiles.append(Tile("Significant differences", value, note))
    return tiles


def _range(values: Sequence[float], digits: int) -> str:
    ends = [signed(value, digits) for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def _cost_rows(sweep: Sweep) -> list[list[str]]:
    rows = []
    for place, cells in charts.by_place(sweep.cells).items():
        for cell in cells:
            full, pruned = cell.results["full"], cell.results["pruned"]
            rows.append([
                title(place.model), title(place.dataset), cell.settings.direction,
                cell.settings.metric, str(cell.settings.k),
                signed(100 * (pruned["top1"] - full["top1"]), 2),
                *(_percent(pruned[key], full[key])
                  for key in ("parameters", "flops", "latency_ms", "checkpoint_bytes")),
            ])  # fmt: skip
    return rows


def _command(sweep: Sweep) -> str:
    if sweep.command:
        return shlex.join(["python", "prune.py", "-m", *sweep.command])
    if len(sweep.cells) == 1:
        return shlex.join(["python", "prune.py", *sweep.cells[0].overrides])
    return ""


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    """What all cells share, or every value that they have."""
    facts: dict[str, list[str]] = {}

    def note(name: str, value: object) -> None:
        text = "none" if value is None else str(value)
        if text not in facts.setdefault(name, []):
            facts[name].append(text)

    results = [cell.results for cell in sweep.cells]
    for model in (r["model"] for r in results):
        size = f"{model['num_frames']} frames of {model['image_size']} pixels"
        note(title(model["name"]), f"{model['variant']}, {size}")
    for r in results:
        calibration = r["calibration"]
        split = f"{calibration['clips']} clips of the {calibration['split']} split"
        note(f"Calibration, {title(r['dataset']['name'])}", split)
    for r in results:
        for name in ("seed", "strategy", "target", "precision"):
            note(name.capitalize(), r[name])
    for cell in sweep.cells:
        if cell.leakage:
            note("Leakage", cell.leakage if len(sweep.cells) == 1 else sweep.place(cell))
    for found in (dict(r["environment"]) for r in results):
        note("Commit", found.pop("commit", None))
        system, cpus = found.pop("system", "unknown system"), found.pop("cpus", "?")
        note("Machine", f"{system}, {cpus} CPUs, computing on {found.pop('device', '?')}")
        note("Versions", ", ".join(f"{name} {version}" for name, version in found.items()))
    times = [(cell.path / RESULTS).stat().st_mtime for cell in sweep.cells]
    if times:
        shown = [
            f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M}" for t in (min(times), max(times))
        ]
        note("Finished (UTC)", " to ".join(dict.fromkeys(shown)))
        note("Time of all cells", _duration(sum(r["seconds"]["total"] for r in results)))
    return [(name, "; ".join(values)) for name, values in facts.items()]


def _cell_row(cell: Cell, sweep: Sweep) -> tuple[str, str, str, str]:
    return (
        sweep.place(cell),
        ", ".join(map(str, cell.results["dropped"])),
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


@exit_on_bad_input
def main(arguments: Sequence[str] | None = None) -> None:
    """Read the cells below a directory and write their report."""
    says = "report.html of a sweep or of a single run, in one self-contained file."
    sweep, seed = sweep_and_seed("report", says, arguments)
    print(f"Report: {write_report(sweep, seed=seed)}")


if __name__ == "__main__":
    main()
