"""Table 1 of a sweep: ``python -m vitprune.report.table SWEEP_DIR``."""

from __future__ import annotations

from collections.abc import Sequence

from vitprune.errors import exit_on_bad_input
from vitprune.files import replacing
from vitprune.report.formats import (
    comparison_rows,
    latex,
    markdown,
    print_tables,
    table_rows,
)
from vitprune.results.agreement import compare_metrics
from vitprune.results.reading import Sweep, sweep_and_seed
from vitprune.results.table1 import build_table
from vitprune.results.writing import write_csv


def write_tables(sweep: Sweep, *, seed: int = 0) -> None:
    """Write ``table.md``, ``table.csv``, ``table.tex`` and ``agreement.csv`` into the sweep's
    directory, and print the tables."""
    table, comparisons = build_table(sweep), compare_metrics(sweep, seed=seed)
    for name, text in (
        ("table.md", markdown(table, comparisons, sweep.older)),
        ("table.tex", latex(table, comparisons, sweep.older)),
    ):
        with replacing(sweep.directory / name) as temporary:
            temporary.write_text(text)
    write_csv(sweep.directory / "table.csv", *table_rows(table))
    write_csv(sweep.directory / "agreement.csv", *comparison_rows(comparisons))
    print_tables(table, comparisons, sweep.older)


@exit_on_bad_input
def main(arguments: Sequence[str] | None = None) -> None:
    """Read a sweep's cells and write its tables."""
    says = "Table 1 of a sweep, in the paper's layout: table.md, table.csv, table.tex."
    sweep, seed = sweep_and_seed("table", says, arguments)
    write_tables(sweep, seed=seed)


if __name__ == "__main__":
    main()
