"""What exporting a model gave: every runtime beside torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from vitprune.report.terminal import print_table

HEADER = ("Runtime", "Deviation", "Latency, median", "95th percentile", "Size", "Top-1")


def print_exported(
    directory: str, exported: Mapping[str, Any], console: Console | None = None
) -> None:
    """The table on the terminal.

    Args:
        directory: of the bundle.
        exported: as ``results.json`` has it.
        console: where to.
    """
    rows, note = exported_rows(exported), measured_on(exported["machine"])
    print_table(f"Bundle {directory}", HEADER, rows, console, [note])


def exported_rows(exported: Mapping[str, Any]) -> list[list[str]]:
    """Under :data:`HEADER`, a row for torch and for every model of a bundle."""
    return [
        [
            row["model"],
            f"{row['deviation']:.1e}" if row["bytes"] else "",
            f"{row['latency_ms']:.3g} ms",
            f"{row['latency_p95_ms']:.3g} ms",
            f"{row['bytes'] / 1e6:.3g} MB" if row["bytes"] else "",
            f"{100 * row['top1']:.2f} %" if "top1" in row else "",
        ]
        for row in exported["measured"]
    ]


def measured_on(machine: Mapping[str, Any]) -> str:
    """What the table says, and where it was measured."""
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
    return (
        "Deviation: the largest difference of a logit from torch's in float32. Latency of one "
        f"clip, in turns, on {machine['processor']} with {threads}"
    )
