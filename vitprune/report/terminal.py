"""Short tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vitprune.results.paper import layers
from vitprune.results.reading import left_out
from vitprune.results.statistics import proportion_interval


def print_comparison(results: Mapping[str, Any], console: Console | None = None) -> None:
    """The full and the pruned model of a run's results side by side, with the change."""
    full, pruned, paired = results["full"], results["pruned"], results["paired"]
    title = (
        f"{results['model']['name']} on {results['dataset']['name']}: "
        f"{layers(results['k'])} with the {results['direction']} {results['metric']} dropped"
    )
    table = Table("", "full", "pruned", "change", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, key in (("Top-1", "top1"), ("Top-5", "top5")):
        change = 100 * (pruned[key] - full[key])
        table.add_row(
            name, f"{100 * full[key]:.2f} %", f"{100 * pruned[key]:.2f} %", f"{change:+.2f}"
        )
        if key == "top1":
            ends = (interval_of(model[key], paired["videos"]) for model in (full, pruned))
            table.add_row("  95 % interval", *ends, "")
            for view, found in (results.get("views") or {}).items():
                change = 100 * (found["pruned"] - found["full"])
                shares = (f"{100 * found[model]:.2f} %" for model in ("full", "pruned"))
                table.add_row(f"  {view} ({found['videos']})", *shares, f"{change:+.2f}")
    for name, key, unit, scale in (
        ("Parameters", "parameters", "M", 1e6),
        ("FLOPs per clip", "flops", "G", 1e9),
        ("Latency per clip", "latency_ms", "ms", 1),
        ("Checkpoint", "checkpoint_bytes", "MB", 1e6),
    ):
        ratio = 100 * (pruned[key] / full[key] - 1)
        table.add_row(
            name,
            f"{full[key] / scale:.3g} {unit}",
            f"{pruned[key] / scale:.3g} {unit}",
            f"{ratio:+.1f} %",
        )
    console = console or Console()
    console.print(table)
    console.print(
        f"Dropped layers: {', '.join(map(str, results['dropped']))}\n"
        f"Of {paired['videos']} test videos {paired['right_to_wrong']} went from right to wrong "
        f"and {paired['wrong_to_right']} from wrong to right "
        f"(McNemar's exact p = {paired['p_value']:.3g})",
        highlight=False,
    )
    if how := left_out(results):
        console.print(f"Left out: {how}", highlight=False)


def interval_of(share: float, videos: int) -> str:
    """Wilson's 95 % interval of a share in [0, 1] of so many videos: ``94.9 to 100.0``."""
    low, high = proportion_interval(round(share * videos), videos)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def print_summary(title: str, values: Mapping[str, str], console: Console | None = None) -> None:
    """Names and values in two columns."""
    table = Table("", "", title=title, title_justify="left", show_header=False)
    table.columns[1].justify = "right"
    for name, value in values.items():
        table.add_row(name, value)
    (console or Console()).print(table)


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    console: Console | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Rows under a header, all but the first column set right, and notes below them."""
    table = Table(*header, title=title, title_justify="left")
    for column in table.columns:
        column.overflow = "fold"  # a cut name may look like another
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    console = console or Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
