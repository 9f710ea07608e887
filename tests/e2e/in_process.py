"""Runs a program of ours within the tests' process, as if it had one of its own.

Importing torch and Lightning takes a process longer than all that most tests want of it.
"""

import contextlib
import io
import logging
import os
import random
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

LIBRARIES = ("pytorch_lightning", "lightning_fabric")
"""Loggers that print what they say themselves where nothing was set up when they were loaded."""


def call(
    program: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """What ``python program arguments`` does and says.

    Args:
        program: a file, or ``-m`` and a module in one word: ``-mvitprune.report``.
        arguments: what follows it on the command line.
        cwd: the directory to run it in.
        environment: all of its environment.
    """
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with _undone(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [program, *arguments]
        try:
            if program.startswith("-m"):
                module = program.removeprefix("-m")
                with pytest.MonkeyPatch.context() as patch:
                    patch.delitem(sys.modules, module, raising=False)
                    runpy.run_module(module, run_name="__main__", alter_sys=True)
            else:
                sys.path.insert(0, str(Path(program).parent))
                runpy.run_path(program, run_name="__main__")
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code, file=err)
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception:
            traceback.print_exc(file=err)
            status = 1
    return subprocess.CompletedProcess(
        [program, *arguments], status, out.getvalue(), err.getvalue()
    )


@contextlib.contextmanager
def _undone() -> Iterator[None]:
    """Put back what a program changes in its process."""
    cwd, environment, argv, path = Path.cwd(), dict(os.environ), sys.argv, list(sys.path)
    terminate = signal.getsignal(signal.SIGTERM)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    composed, raising = HydraConfig.instance().cfg, logging.raiseExceptions
    loggers = [logging.getLogger(), *map(logging.getLogger, LIBRARIES)]
    logged = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    try:
        yield
    finally:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[:] = argv, path
        signal.signal(signal.SIGTERM, terminate)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg, logging.raiseExceptions = composed, raising
        for logger, (level, handlers, propagate) in zip(loggers, logged, strict=True):
            for handler in logger.handlers:
                if handler not in handlers:
                    with contextlib.suppress(OSError):  # its disk may be full
                        handler.close()
            logger.setLevel(level)
            logger.handlers, logger.propagate = handlers, propagate
