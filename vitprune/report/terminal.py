"""Short tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vitprune.report.formats import what_went
from vitprune.results.paper import called
from vitprune.results.reading import card_of, left_out
from vitprune.results.safety import NOTABLE, SafetyCard
from vitprune.results.statistics import proportion_interval

MODELS = ("full", "pruned", "recovered")
"""What results have figures of, as far as they have."""


def print_comparison(results: Mapping[str, Any], console: Console | None = None) -> None:
    """All models of a run's results side by side, with the change from the full one to the last."""
    names = [name for name in MODELS if name in results]
    models, paired = {name: results[name] for name in names}, results["paired"]
    first, last = names[0], names[-1]
    title = f"{results['model']['name']} on {results['dataset']['name']}: {what_went(results)}"
    if "recovered" in names:
        title += f", recovered by {results['recover']['name']}"
    table = Table("", *names, "change", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"

    def add(name: str, figures: Mapping[str, float]) -> None:
        shares = (f"{100 * figures[model]:.2f} %" for model in names)
        table.add_row(name, *shares, f"{100 * (figures[last] - figures[first]):+.2f}")

    for name, key in (("Top-1", "top1"), ("Top-5", "top5")):
        add(name, {model: figures[key] for model, figures in models.items()})
        if key == "top1":
            ends = (interval_of(figures[key], paired["videos"]) for figures in models.values())
            table.add_row("  95 % interval", *ends, "")
            for view, found in (results.get("views") or {}).items():
                add(f"  {view} ({found['videos']})", found)
    for name, key, unit, scale in (
        ("Parameters", "parameters", "M", 1e6),
        ("FLOPs per clip", "flops", "G", 1e9),
        ("Latency per clip", "latency_ms", "ms", 1),
        ("Checkpoint", "checkpoint_bytes", "MB", 1e6),
    ):
        values = [figures[key] for figures in models.values()]
        shown = (f"{value / scale:.3g} {unit}" for value in values)
        table.add_row(name, *shown, f"{100 * (values[-1] / values[0] - 1):+.1f} %")
    console = console or Console()
    console.print(table)
    console.print(
        f"Dropped {called(results['scope'])}: {', '.join(map(str, results['dropped']))}\n"
        f"Of {paired['videos']} test videos {_changes(paired)}",
        highlight=False,
    )
    if recovery := results.get("recovery"):
        console.print(
            f"Recovered in {recovery['seconds']:.0f} s from {recovery['clips']} clips: from the "
            f"pruned model {_changes(recovery['paired']['pruned'])}; "
            f"from the full model {_changes(recovery['paired']['full'])}",
            highlight=False,
        )
    if budget := results.get("budget"):
        console.print(f"Budget: {spent(budget)}", highlight=False)
    if search := results.get("search"):
        console.print(f"Search: {searched(search)}", highlight=False)
    if card := card_of(results):
        console.print(_costs_whom(card), highlight=False)
    if how := left_out(results):
        console.print(f"Left out: {how}", highlight=False)


def spent(budget: Mapping[str, Any]) -> str:
    """What is spent of a budget: ``latency 0.58 of 0.6, megabytes 20 of 30``."""
    limits = budget["limits"].items()
    return ", ".join(f"{name} {budget['spent'][name]:.3g} of {limit:g}" for name, limit in limits)


def searched(search: Mapping[str, Any]) -> str:
    """What a search came to: ``129 sets of units, divergence 0.058 to 0.032 bits``."""
    found = search["divergence"]
    change = f"{found['start']:.3g} to {found['found']:.3g} bits"
    return f"{search['evaluated']} sets of units, divergence {change}"


def _costs_whom(card: SafetyCard) -> str:
    """The classes that lost, and calibration, in two lines."""
    lost = [
        f"{one.name} {100 * one.full:.0f} to {100 * one.smaller:.0f} % ({one.videos} videos, "
        f"p = {one.p_holm:.2g})"
        for one in card.lost()
    ]
    more = f"Classes that lost more than {NOTABLE:g} points"
    before, after = (100 * card.ece[name] for name in ("full", "smaller"))
    return (
        f"{more}: {', '.join(lost) or 'none'}\n"
        f"Expected calibration error {before:.1f} to {after:.1f} %"
    )


def _changes(paired: Mapping[str, Any]) -> str:
    return (
        f"{paired['right_to_wrong']} went from right to wrong and {paired['wrong_to_right']} from "
        f"wrong to right (McNemar's exact p = {paired['p_value']:.3g})"
    )


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
