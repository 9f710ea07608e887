"""From numbers to what people read: tables, plots, HTML; W&B is in `vitprune.reporting.tracking`.

Nothing here needs torch, so that a table or a report is made again in a second.
"""

from vitprune.reporting.plots import plot_curve, plot_relevance
from vitprune.reporting.results import write_csv, write_json
from vitprune.reporting.terminal import (
    interval_of,
    print_comparison,
    print_summary,
    print_table,
)

__all__ = [
    "interval_of",
    "plot_curve",
    "plot_relevance",
    "print_comparison",
    "print_summary",
    "print_table",
    "write_csv",
    "write_json",
]
