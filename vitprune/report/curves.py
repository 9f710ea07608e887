"""The figures of curves as Markdown, CSV and on the terminal: one table a model and dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from vitprune.report.formats import (
    MISSING,
    as_csv,
    markdown_table,
    named,
    p_text,
    print_grid,
    signed,
)
from vitprune.results.curves import SHARES, Measured, compare_curves

LEFT = 2
"""Columns of names."""
NOTES = (
    "Area: the mean of Top-1 on the test split over 0, 1, ... dropped units, up to all but one, "
    "in percent. Change: of the area against R with the same strategy, and of greedy R against "
    "oneshot R, in percentage points; p of the same resamples, with Holm's correction over the "
    "rows. k: the largest number of dropped units that keeps that share of the full model's Top-1 "
    "on the val split, a mean where there are several orders or seeds; Top-1: on the test split at "
    "that k.",
    "Brackets: 95 % bootstrap intervals over videos, those of k over val videos; with several "
    "seeds over seeds, too, and ± is the standard deviation over seeds. Random orders are not "
    "resampled.",
)


class CurveTable(NamedTuple):
    """The curves of a model on a dataset, and their figures.

    Attributes:
        measured: what was measured.
        figures: see :func:`vitprune.results.curves.compare_curves`.
    """

    measured: Measured
    figures: pd.DataFrame

    @property
    def name(self) -> str:
        """``MViT on DAI, lowest first, 3 seeds: full Top-1 93.20 [91.00, 95.10]``."""
        found, full = self.measured, self.figures.iloc[0]
        seeds = [f"{len(found.seeds)} seeds"] if len(found.seeds) > 1 else []
        parts = [found.place, f"{found.direction} first", *seeds]
        return f"{', '.join(parts)}: full Top-1 {_figure(full, 'full')}"

    @property
    def header(self) -> list[str]:
        """The columns' names."""
        at = [text for share in SHARES for text in (f"k, {100 * share:.0f} %", "Top-1")]
        return ["Strategy", "Metric", "Area", "Change to R", "p (Holm)", *at]

    @property
    def rows(self) -> list[list[str]]:
        """Every row's texts."""
        return [self._row(row) for _, row in self.figures.iterrows()]

    def _row(self, row: Any) -> list[str]:
        texts = [row["strategy"], row["metric"]]
        spread = f" ± {row['area_spread']:.1f}" if pd.notna(row["area_spread"]) else ""
        texts.append(_figure(row, "area", spread))
        texts.append(_signed(row) if pd.notna(row["change"]) else MISSING)
        texts.append(p_text(row["p_holm"]))
        for share in SHARES:
            name = f"{100 * share:.0f}"
            ends = f" [{row[f'k{name}_low']:.0f}, {row[f'k{name}_high']:.0f}]"
            texts += [f"{row[f'k{name}']:.3g}{ends}", _figure(row, f"top1_{name}")]
        return texts


def curve_tables(found: Iterable[Measured]) -> list[CurveTable]:
    """The table of each model and dataset."""
    return [CurveTable(one, compare_curves(one.curves)) for one in found]


def print_curves(tables: Sequence[CurveTable]) -> None:
    """All tables with their notes, on the terminal."""
    console = Console()
    for table in tables:
        print_grid(console, table.name, table.header, table.rows, LEFT)
    for note in NOTES if tables else ():
        console.print(f"- {note}", highlight=False, markup=False)


def curves_markdown(tables: Sequence[CurveTable]) -> str:
    """``curves.md``."""
    parts = ["# Top-1 over the number of dropped units"]
    for table in tables:
        parts += [f"## {table.name}", markdown_table(table.header, table.rows, LEFT)]
    return "\n\n".join([*parts, *NOTES]) + "\n"


def curves_csv(tables: Sequence[CurveTable]) -> str:
    """``curves.csv``: a row for every way to order the units of a model on a dataset."""
    frames = []
    for table in tables:
        found = table.measured
        keys = {"group": found.group, "dataset": found.dataset, "direction": found.direction,
                "seeds": " ".join(map(str, found.seeds))}  # fmt: skip
        frames.append(named(table.figures.assign(**keys)[[*keys, *table.figures]]))
    return as_csv(pd.concat(frames).drop(columns="k"))


def _figure(row: Any, name: str, spread: str = "") -> str:
    """``78.31 ± 1.2 [75.2, 81.0]``."""
    ends = row[f"{name}_low"], row[f"{name}_high"]
    between = "" if pd.isna(ends[0]) else f" [{ends[0]:.1f}, {ends[1]:.1f}]"
    return f"{row[name]:.2f}{spread}{between}"


def _signed(row: Any) -> str:
    between = ""
    if pd.notna(row["change_low"]):
        between = f" [{signed(row['change_low'], 1)}, {signed(row['change_high'], 1)}]"
    return signed(row["change"], 2) + between
