"""The files that tell of a sweep or a run: its tables and its page."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from vitprune.files import replacing
from vitprune.report.curves import curve_tables, curves_csv, curves_markdown, print_curves
from vitprune.report.formats import agreement_csv, latex, markdown, print_tables, table_csv
from vitprune.report.front import fronts_csv, fronts_markdown, print_fronts
from vitprune.report.page import render
from vitprune.report.sections import curves_chart, front_chart
from vitprune.report.style import Chart
from vitprune.results.agreement import compare_metrics
from vitprune.results.curves import read_curves
from vitprune.results.front import read_fronts
from vitprune.results.reading import read_sweep
from vitprune.results.table1 import build_table


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` into the directory of a sweep or a run, and say where it is.

    For a sweep also write ``table.md``, ``table.csv``, ``table.tex`` and ``agreement.csv``, and
    print the tables. Where cells have curves, ``curves.md``, ``curves.csv``, and a chart a model
    and dataset as ``curves/<dataset>-<model>-<direction>.png`` and ``.svg``. Where a model was made
    smaller in several ways, ``front.md``, ``front.csv``, and a chart a model and dataset as
    ``front/<dataset>-<model>.png`` and ``.svg``.

    Raises:
        InputError: there is no such directory, or no cell in it.
    """
    sweep = read_sweep(directory)
    table, pairs, curves = build_table(sweep), compare_metrics(sweep), read_curves(sweep)
    compared = curve_tables(curves)
    fronts = read_fronts(sweep)
    page = sweep.directory / "report.html"
    files = {page.name: render(sweep, table, pairs, compared, fronts)}
    if not sweep.single:
        files |= {
            "table.md": markdown(table, pairs, sweep.older),
            "table.csv": table_csv(table),
            "table.tex": latex(table, pairs, sweep.older),
            "agreement.csv": agreement_csv(pairs),
        }
        print_tables(table, pairs, sweep.older)
        if curves:
            files |= {"curves.md": curves_markdown(compared), "curves.csv": curves_csv(compared)}
            print_curves(compared)
            for one in curves:
                _draw(curves_chart(one), sweep.directory / "curves" / one.name)
        if fronts:
            files |= {"front.md": fronts_markdown(fronts), "front.csv": fronts_csv(fronts)}
            print_fronts(fronts)
            for front in fronts:
                _draw(front_chart(front), sweep.directory / "front" / front.name)
    for name, text in files.items():
        with replacing(sweep.directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    Console().print(f"Report: {page}", highlight=False, soft_wrap=True)
    return page


def _draw(chart: Chart, path: Path) -> None:
    """A chart as PNG and SVG."""
    for ending in ("png", "svg"):
        chart.write(path.with_name(f"{path.name}.{ending}"))
