"""What the three commands share: refusing wrong values early, and saying so in one line.

Nothing here imports torch, so that a mistyped value is refused at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vitprune.errors import InputError

# OpenMP's threads spin while they wait, by default for milliseconds. Where decoding workers or
# other jobs want the same cores, that makes a step many times slower. A shorter spin costs nothing
# on an idle machine. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

Arguments = ParamSpec("Arguments")

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


def check_arguments(task: str, arguments: Iterable[str] | None = None, conf: Path = CONF) -> None:
    """Exit with one line if a command line names a value that does not exist.

    Looks at config groups (``model=``) and at the keys of :data:`CHOICES`, at every value of a
    sweep, before Hydra composes anything. What it does not know is left to Hydra.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    words = [a for a in arguments if "=" in a and not a.startswith("-")]
    try:
        overrides = OverridesParser.create().parse_overrides(words)
    except HydraException:
        return  # Hydra says it better
    keys = OmegaConf.load(conf / f"{task}.yaml")
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    try:
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
    except InputError as error:
        _exit(error)


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


def run(task: str, cfg: DictConfig) -> None:
    """Run a task of :mod:`vitprune.tasks`; bad input ends it with one line and no traceback."""
    from vitprune import tasks  # late: a wrong argument should not wait for torch

    function: Callable[[DictConfig], object] = getattr(tasks, task)
    try:
        for key, known in CHOICES.items():
            if key in cfg:
                check_choice(key, cfg[key], known)
        function(cfg)
    except InputError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            # Hydra runs the other jobs, then prints this line and exits with status 1.
            raise CompactHydraException(f"error: {error}") from error
        _exit(error)


def exit_on_bad_input(main: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let a command that is not Hydra's end with the same one line and status."""

    @wraps(main)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except InputError as error:
            _exit(error)

    return wrapped


def _exit(error: InputError) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(BAD_INPUT)
