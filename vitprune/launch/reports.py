"""The Hydra callback that ends a run with its report, and a sweep with its table and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig


class WriteReport(Callback):
    """Writes ``report.html`` after a run; after a multirun the tables, too, and prints them.

    Of several processes (DDP) only the first writes.
    """

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        job: JobReturn = kwargs["job_return"]
        first = getattr(rank_zero_only, "rank", 0) == 0
        if first and job.status == JobStatus.COMPLETED:
            _write(Path(config.hydra.runtime.output_dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        _write(Path(config.hydra.sweep.dir))


def _write(directory: Path) -> None:
    from vitprune.report.writing import write_report  # late: a wrong argument need not wait for it

    write_report(directory)
