"""From numbers to what people read: tables, plots, W&B."""

from vitprune.reporting.plots import plot_curve, plot_relevance
from vitprune.reporting.results import write_csv, write_json
from vitprune.reporting.terminal import print_comparison, print_summary, print_table
from vitprune.reporting.tracking import Tracker

__all__ = [
    "Tracker",
    "plot_curve",
    "plot_relevance",
    "print_comparison",
    "print_summary",
    "print_table",
    "write_csv",
    "write_json",
]
