"""What exporting a model gave: every runtime beside torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    print_table(f"Bundle {directory}", HEADER, rows, console, [note, *quantised_so(exported)])


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


def quantised_so(exported: Mapping[str, Any]) -> list[str]:
    """Of every model in int8 what stayed in float, and what it changes, in words."""
    return [
        f"{name}: {_in_float(known['float_layers'])}; {known['loss']:.1f} % of the "
        f"{known['clips']} calibration clips get another answer than in float32"
        for name, known in exported.get("quantised", {}).items()
    ]


def _in_float(layers: Sequence[int]) -> str:
    if not layers:
        return "no layer in float"
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))} in float"
