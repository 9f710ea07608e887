"""What the three commands share: refusing wrong values early, and saying so in one line.

Nothing here imports torch, so that a mistyped value is refused at once.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, read_write

from vitprune import cells
from vitprune.errors import InputError

log = logging.getLogger(__name__)

# OpenMP's threads spin while they wait, by default for milliseconds. Where decoding workers or
# other jobs want the same cores, that makes a step many times slower. A shorter spin costs nothing
# on an idle machine. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Hydra warns that launchers of conf/ share their names with the plugins' schemas, as they should.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against")

CONF = Path(__file__).resolve().parent.parent / "conf"

CHOICES: dict[str, tuple[str, ...]] = {
    "metric": ("JSD", "dProb", "R", "cosine", "taylor", "random", "magnitude"),
    "direction": ("lowest", "highest"),
    "scope": ("layer", "attention", "mlp", "head"),
    "calibration": ("val", "test", "train"),
    "target": ("predicted", "label"),
    "strategy": ("oneshot", "greedy"),
    "scoring": ("full", "adaptive"),
    "scale": ("tiny", "full"),
}
"""The values that the top-level keys with a fixed set of values take."""

BAD_INPUT = 2
"""Exit status of a command whose input was wrong."""

FULL_ERROR = "HYDRA_FULL_ERROR"
LIGHTNING_MARKS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def check_arguments(task: str, arguments: Iterable[str] | None = None, conf: Path = CONF) -> None:
    """Exit with one line if a command line names a value that does not exist.

    Before Hydra composes anything; see :func:`check_overrides`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        check_overrides(task, [a for a in arguments if "=" in a and not a.startswith("-")], conf)
    except InputError as error:
        _exit(error)


def check_overrides(task: str, words: Iterable[str], conf: Path = CONF) -> None:
    """Raise :class:`InputError` if an override, or any value of a sweep, does not exist.

    Looks at config groups (``model=``) and at the keys of :data:`CHOICES`. What it does not know
    is left to Hydra.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException:
        return  # Hydra says it better
    keys = OmegaConf.load(conf / f"{task}.yaml")
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    for override in overrides:
        key = override.key_or_group
        if override.is_delete() or override.package is not None:
            continue
        if key in groups:
            known = tuple(sorted(path.stem for path in (conf / key).glob("*.yaml")))
        elif key in CHOICES and key in keys:
            known = CHOICES[key]
        else:
            continue
        for value in _values(override):
            check_choice(key, value, known)


def check_config(cfg: DictConfig) -> None:
    """Raise :class:`InputError` unless the keys of :data:`CHOICES` have values of theirs."""
    for key, known in CHOICES.items():
        if key in cfg:
            check_choice(key, cfg[key], known)


def check_choice(key: str, value: object, known: Iterable[str]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of ``known``."""
    if value not in (known := tuple(known)):
        raise InputError(f"{key}={value} is unknown; {key} takes {', '.join(known)}")


def _values(override: Override) -> Iterator[object]:
    if override.is_sweep_override():
        if override.is_discrete_sweep():
            yield from override.sweep_string_iterator()
        return
    value = override.value()
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield str(value)


def main(task: str, command: Callable[[], None]) -> None:
    """Run a Hydra command; what the user can put right is said in one line, without a traceback."""
    check_arguments(task)
    show_all = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # so that Hydra leaves errors to this function
    try:
        command()
    except (InputError, HydraException, OSError) as error:
        full = cells.disk_full(error)
        if show_all or not (full or isinstance(error, InputError | CompactHydraException)):
            raise
        if isinstance(error, CompactHydraException):
            cause = error.__cause__
            print(error, *([cause] if cause else []), sep="\n", file=sys.stderr)
            sys.exit(1)
        _exit(InputError(full) if full else error)


def run(task: str, cfg: DictConfig) -> float | None:
    """Run a task of :mod:`vitprune.tasks` as one job.

    In a sweep, a finished job is not run again, and a job that fails leaves ``failure.json`` and
    lets the others go on.

    Returns:
        What ``cfg.objective`` makes of the results, for sweepers such as Optuna's; None without
        one, or if the job of a sweep failed.
    """
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    sweep = hydra.mode == RunMode.MULTIRUN
    if sweep and (results := cells.finished(directory, cfg)) is not None:
        log.info("Finished already: %s", directory)
        return _objective(cfg, results)
    try:
        check_config(cfg)
        from vitprune import tasks  # late: a wrong argument should not wait for torch

        function: Callable[[DictConfig], Any] = getattr(tasks, task)
        (directory / cells.RESULTS).unlink(missing_ok=True)  # of other settings
        with _as_single_job(task, directory):
            results = function(cfg)
        (directory / cells.FAILURE).unlink(missing_ok=True)
        return _objective(cfg, results)
    except Exception as error:
        line = cells.explain(error)
        foreseen = isinstance(error, InputError) or cells.disk_full(error) is not None
        if not sweep:
            if foreseen:
                raise InputError(line) from error
            raise
        log.error("error: %s", line, exc_info=None if foreseen else error)
        try:
            cells.record_failure(directory, line, hydra.overrides.task)
        except OSError:
            raise InputError(line) from error  # then the sweep must end with it
        return None


def _objective(cfg: DictConfig, results: Any) -> float | None:
    return float(instantiate(cfg.objective)(results)) if cfg.get("objective") else None


@contextmanager
def _as_single_job(task: str, directory: Path) -> Iterator[None]:
    """Let Lightning start a job's further processes (DDP), also in a sweep.

    Lightning starts them as the program that it finds itself in, with its arguments: in a sweep
    that would be the whole sweep, in submitit's or Ray's process no program of ours. And it leaves
    marks in the environment by which the next job of this process would take itself for a part of
    this one.
    """
    hydra = HydraConfig.instance().cfg
    assert hydra is not None
    import __main__

    argv, spec = sys.argv, __main__.__spec__
    environment = {key: os.environ.get(key) for key in (*LIGHTNING_MARKS, FULL_ERROR)}
    overrides = [*hydra.hydra.overrides.hydra, *hydra.hydra.overrides.task]
    sys.argv = [str(CONF.parent / f"{task}.py"), *overrides, "hydra.mode=RUN"]
    __main__.__spec__ = None
    os.environ.pop(FULL_ERROR, None)
    with read_write(hydra.hydra):
        hydra.hydra.run.dir = str(directory)
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


def _exit(error: InputError) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(BAD_INPUT)
