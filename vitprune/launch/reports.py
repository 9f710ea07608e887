"""The Hydra callback that ends a run with its report, and a sweep with its table and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from vitprune.report.page import write_report
from vitprune.report.table import write_tables
from vitprune.results.reading import read_sweep


class Report(Callback):
    """Writes ``report.html`` after a run; after a multirun the tables, too, and prints them.

    Of several processes (DDP) only the first writes.
    """

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        job: JobReturn = kwargs["job_return"]
        directory = Path(config.hydra.runtime.output_dir)
        first = getattr(rank_zero_only, "rank", 0) == 0
        if first and job.status == JobStatus.COMPLETED:
            _say(write_report(read_sweep(directory)))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep = read_sweep(config.hydra.sweep.dir)
        write_tables(sweep)
        _say(write_report(sweep))


def _say(path: Path) -> None:
    Console().print(f"Report: {path}", highlight=False, soft_wrap=True)
