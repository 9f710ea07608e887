"""The models that are worth having, as Markdown, CSV and on the terminal: one table a front."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from vitprune.report.formats import MISSING, as_csv, markdown_table, p_text, print_grid, signed
from vitprune.results.front import Front

HEADER = ["", "Model", "Gone or left", "Latency", "Top-1 (%)", "Change", "p (Holm)", "How"]
LEFT = 3
"""Columns of names."""
NOTES = (
    "A model is here if no other one of the chart is as fast and as often right, and better in one "
    "of the two. It is chosen by the very test videos that its Top-1 is of, so that the best of "
    "many looks a little better than it is; models whose intervals overlap may well change places.",
    "Latency: the median of one clip at a time, measured in turns with the full model's, as a "
    "share of it; and that share of the full model's median over all cells. Models within one "
    "percent of it count as equally fast. It is of the machine that it was measured on.",
    "Top-1: with Wilson's 95 % interval; over several seeds the mean ± the standard deviation. "
    "Change: from the full model on the same videos, in percentage points, with McNemar's exact p "
    "(of several seeds on all their answers), corrected by Holm for the rows of the table.",
    "How: what is added to the command of the full model, of prune.py or, for frames and size, of "
    "evaluate.py. As dropped it is pruned.ckpt of that job, recovered it is recovered.ckpt.",
)


def front_rows(found: Front) -> list[list[str]]:
    """Under :data:`HEADER`, a row for every model that is worth having, the fastest first."""
    rows = []
    for number, (point, p) in enumerate(zip(found.best, found.p_holm(), strict=True), 1):
        spread = f" ± {point.spread:.2f}" if point.spread is not None else ""
        between = spread or " [{:.1f}, {:.1f}]".format(*point.ends)
        rows.append([
            str(number), str(point.way), point.size or MISSING,
            f"{100 * point.share:.1f} % ({point.share * found.full_ms:.3g} ms)",
            f"{point.top1:.2f}{between}",
            *([MISSING, MISSING] if p is None else [signed(point.change, 2), p_text(p)]),
            point.command or MISSING,
        ])  # fmt: skip
    return rows


def front_heading(found: Front) -> str:
    """``MViT on DAI: 4 of 11 models are not dominated by another``."""
    seeds = max(len(point.seeds) for point in found.points)
    several = f", {seeds} seeds" if seeds > 1 else ""
    count = f"{len(found.best)} of {len(found.points)} models"
    return f"{found.heading}{several}: {count} are not dominated by another"


def hole_notes(found: Front) -> list[str]:
    """Every cell and evaluation that is no point, and why."""
    return [f"No point: {place}: {why}" for place, why in found.holes.items()]


def print_fronts(fronts: Sequence[Front]) -> None:
    """All tables with their notes, on the terminal."""
    console = Console()
    for front in fronts:
        print_grid(console, front_heading(front), HEADER, front_rows(front), LEFT)
        for note in hole_notes(front):
            console.print(f"- {note}", highlight=False, markup=False)
    for note in NOTES if fronts else ():
        console.print(f"- {note}", highlight=False, markup=False)


def fronts_markdown(fronts: Sequence[Front]) -> str:
    """``front.md``."""
    parts = ["# Top-1 against latency"]
    for front in fronts:
        table = markdown_table(HEADER, front_rows(front), LEFT)
        parts += [f"## {front_heading(front)}", table, *hole_notes(front)]
    return "\n\n".join([*parts, *NOTES]) + "\n"


def fronts_csv(fronts: Sequence[Front]) -> str:
    """``front.csv``: a row a point, dominated ones, too."""
    return as_csv(pd.concat([front.table() for front in fronts]))
