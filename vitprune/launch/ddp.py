"""Several processes for one job (DDP), also in a sweep and in launchers' processes.

Lightning starts a job's further processes as the program that it finds itself in, with that
program's arguments. In a multirun that is the whole sweep again (Lightning issues 2727, closed
unsolved, and 11300, Hydra issue 2070, both open; pull request 18175, which would mend it, is open,
too), and without a common directory each process makes one of its own (pull request 5629).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import read_write

from vitprune.launch.arguments import CONF

FULL_ERROR = "HYDRA_FULL_ERROR"
LIGHTNING_MARKS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def as_single_job(task: str, directory: Path) -> Iterator[None]:
    """Let Lightning start a job's further processes (DDP), also in a sweep.

    Lightning starts them as the program that it finds itself in, with its arguments: in a sweep
    that would be the whole sweep, in submitit's or Ray's process no program of ours. And it leaves
    marks in the environment by which the next job of this process would take itself for a part of
    this one.
    """
    import __main__

    hydra = HydraConfig.get()

    argv, spec = sys.argv, __main__.__spec__
    environment = {key: os.environ.get(key) for key in (*LIGHTNING_MARKS, FULL_ERROR)}
    overrides = [*hydra.overrides.hydra, *hydra.overrides.task]
    sys.argv = [str(CONF.parent / f"{task}.py"), *overrides, "hydra.mode=RUN"]
    __main__.__spec__ = None
    os.environ.pop(FULL_ERROR, None)
    with read_write(hydra):  # type: ignore[arg-type]
        hydra.run.dir = str(directory)
    try:
        yield
    finally:
        sys.argv, __main__.__spec__ = argv, spec
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for key, value in environment.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
