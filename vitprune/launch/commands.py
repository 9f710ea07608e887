"""What the three commands share: how one of their jobs is run, alone or in a sweep.

Nothing here imports torch before a job really starts.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor  # also what joblib raises
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from vitprune.errors import FAILED, InputError, disk_full, exit_with, in_one_line
from vitprune.files import remove_leftovers
from vitprune.launch import cells, resolvers
from vitprune.launch.arguments import check_arguments
from vitprune.launch.configuration import Job, Prune, Train, parse
from vitprune.launch.ddp import FULL_ERROR, as_single_job
from vitprune.launch.library_messages import silence
from vitprune.launch.overrides import given_keys
from vitprune.results.settings import settings_of
from vitprune.results.writing import BEST, FAILURE, STARTED, write_json

log = logging.getLogger(__name__)

# OpenMP's threads spin while they wait, by default for milliseconds. Where decoding workers or
# other jobs want the same cores, that makes a step many times slower. A shorter spin costs nothing
# on an idle machine. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

silence()

KILLED = (
    "a process that ran cells was killed, and the sweep with it; where memory was short, lower "
    "hydra.launcher.n_jobs; run the same command again: with the same hydra.sweep.dir it goes on "
    "where it was stopped"
)


def main(task: str, command: Callable[[], None]) -> None:
    """Run a Hydra command; what the user can put right is said in one line, without a traceback."""
    check_arguments(task)
    show_all = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # so that Hydra leaves errors to this function
    # Lightning would only note the signal, and the next job of a sweep forget it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        command()
    except Exception as error:
        if show_all:
            raise
        if isinstance(error, BrokenExecutor):
            exit_with(KILLED, status=FAILED)
        error = resolvers.foreseen(error) or error
        if isinstance(error, InputError) or disk_full(error):
            exit_with(in_one_line(error))
        if isinstance(error, CompactHydraException):
            cause = error.__cause__
            print(error, *([cause] if cause else []), sep="\n", file=sys.stderr)
            sys.exit(FAILED)
        raise


def run(task: str, cfg: DictConfig) -> float | None:
    """Run a task of :mod:`vitprune.tasks` as one job.

    In a sweep, a finished job is not run again, and a job that fails leaves ``failure.json`` and
    lets the others go on.

    Returns:
        What ``cfg.objective`` makes of the results, for sweepers such as Optuna's; None without
        one, or if the job of a sweep failed.
    """
    logging.raiseExceptions = False  # on a full disk every line of the log would be a traceback
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    sweep = hydra.mode == RunMode.MULTIRUN
    values = resolvers.plain(cfg)
    try:
        job = parse(values, given_keys())
        values = job.plain()  # numbers are written as in the results: 0.0, not 0
        if sweep and (results := _finished(directory, job)) is not None:
            log.info("Finished already: %s", directory)
            return _objective(job, results)
        _note_start(task, directory, values)
        from vitprune import tasks  # late: a wrong argument should not wait for torch

        story: Callable[[Job, tasks.Run], Any] = getattr(tasks, task)
        if sweep:
            remove_leftovers(directory)
        with as_single_job(task, directory):
            results = story(job, _run(job, directory))
        (directory / FAILURE).unlink(missing_ok=True)
        return _objective(job, asdict(results))
    except Exception as error:
        line = in_one_line(error)
        foreseen = isinstance(error, InputError) or disk_full(error) is not None
        if not sweep:
            if foreseen:
                exit_with(line)  # at once: Hydra would put a line of its own before an exception's
            raise
        log.error("error: %s", line, exc_info=None if foreseen else error)
        try:
            _note_start(task, directory, values)
            cells.record_failure(directory, line, hydra.overrides.task)
        except OSError:
            raise InputError(line) from error  # then the sweep must end with it
        return None


def _note_start(task: str, directory: Path, values: Mapping[str, Any]) -> None:
    """Say in ``started.json`` which cell a directory is of, before it has results."""
    if task == "prune":
        overrides = list(HydraConfig.get().overrides.task)
        settings = settings_of(values)
        write_json(directory / STARTED, {"settings": settings, "overrides": overrides})


def _run(job: Job, directory: Path) -> Any:
    """The :class:`vitprune.tasks.Run` of a job."""
    from vitprune.tasks import Run

    hydra = HydraConfig.get()
    multirun = hydra.mode == RunMode.MULTIRUN
    explains = job.task == "evaluate" and getattr(job, "explain", "none") != "none"
    return Run(
        job,
        "explain" if explains else job.task,
        Path(job.fine_tuned) if isinstance(job, Train) else directory,
        group=Path(hydra.sweep.dir).name if multirun else None,
        experiment=hydra.runtime.choices.get("experiment"),
    )


def _finished(directory: Path, job: Job) -> Mapping[str, Any] | None:
    """The results of a finished cell of prune.py; train.py is run again whenever it is asked."""
    if not isinstance(job, Prune):
        return None
    checkpoint = Path(job.ckpt or Path(job.fine_tuned) / BEST)
    results = cells.finished(directory, job.settings(), checkpoint)
    if results is not None and job.objective and "val" not in results:
        log.info("%s has no figures of the val split for objective: running it anew", directory)
        return None
    if results is not None and job.export and "exported" not in results:
        log.info("%s has no bundle: running it anew", directory)
        return None
    return results


def _objective(job: Job, results: Any) -> float | None:
    if not (isinstance(job, Prune) and job.objective):
        return None
    return float(instantiate(job.objective)(results))
