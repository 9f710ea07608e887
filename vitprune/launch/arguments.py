"""Command lines: what they name, and what of it does not exist, which is refused in one line.

Nothing here imports torch, so that a mistyped value is refused at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vitprune.errors import InputError, exit_with
from vitprune.launch.overrides import parsed

MULTIRUN = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
LISTS = ("head", "other_head")
"""Keys that take lists."""
PROGRAMS = {"check": "-m vitprune.data.check"}
"""What follows ``python``, where it is not the task's own file."""
CONF = Path(__file__).resolve().parent.parent.parent / "conf"


def check_arguments(task: str, arguments: Iterable[str] | None = None) -> None:
    """Exit with one line if a command line names a value that does not exist.

    Before Hydra composes anything; see :func:`check_overrides`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    words = [a for a in arguments if "=" in a and not a.startswith("-")]
    try:
        check_overrides(task, words)
        if not MULTIRUN.intersection(arguments):
            check_lists(words)
    except InputError as error:
        exit_with(error)


def check_lists(words: Iterable[str]) -> None:
    """Raise :class:`InputError` if several heads are given as Hydra writes a sweep."""
    for override in parsed(words):
        key = override.key_or_group
        if key in LISTS and override.is_discrete_sweep():
            value = str(override.input_line).partition("=")[2]
            raise InputError(
                f"{key}={value} is a sweep, a job for each; write '{key}=[{value}]' for all in one "
                "job, or add -m"
            )


def check_overrides(task: str, words: Iterable[str]) -> None:
    """Raise :class:`InputError` if an override, or any value of a sweep, does not exist.

    Looks at the names of top-level keys and at config groups (``model=``), of which Hydra says in
    many lines that one is unknown. Values are looked at when the configuration is composed.
    """
    keys = set(OmegaConf.load(CONF / f"{task}.yaml"))  # also those without a value
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    for override in parsed(words):
        key = override.key_or_group
        if override.is_delete() or override.package is not None:
            continue
        if key in groups:
            known = tuple(sorted(path.stem for path in (CONF / key).glob("*.yaml")))
        elif key in keys or override.is_add() or not key.isidentifier():
            continue
        else:
            program = PROGRAMS.get(task, f"{task}.py")
            raise InputError(
                f"{program} has no key {key}; python {program} --cfg job prints the ones it has"
            )
        for value in _values(override):
            check_choice(key, value, known)


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
