"""What happens around jobs: they are checked before, the failed cells of a sweep named after."""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from vitprune.errors import FAILED, InputError, disk_full, exit_with, in_one_line
from vitprune.launch import cells, resolvers
from vitprune.launch.arguments import check_overrides
from vitprune.launch.configuration import parse
from vitprune.launch.overrides import asked_for, overrides_of, words_of
from vitprune.results.writing import AXES, SWEEP, write_json


class Guard(Callback):
    """The Hydra callback around every run and multirun.

    It leaves by ``SystemExit``: Hydra would turn any other exception of a callback into a warning.
    At the end Hydra calls callbacks in reverse order, so this one, listed first, comes last.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[str, int]] = {}

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            parse(_plain(config))
            _check_writable(Path(config.hydra.run.dir), "hydra.run.dir")
        except InputError as error:
            exit_with(error)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        directory = Path(config.hydra.sweep.dir)
        try:
            _check_plugin("hydra/launcher", config.hydra.launcher)
            _check_plugin("hydra/sweeper", config.hydra.sweeper)
            params = config.hydra.sweeper.get("params") or {}
            check_overrides(config.task, [f"{key}={value}" for key, value in params.items()])
            _check_values(config)
            _check_told_apart(config)
            _check_writable(directory, "hydra.sweep.dir")
            asked = asked_for(config, (*AXES, "seed", "seeds"))
            if "seeds" in asked:
                asked["seed"] = asked.pop("seeds")
            if "hub" in asked.get("model", ()):  # cells are called by the classes that they hold
                del asked["model"]
            write_json(directory / SWEEP, {"command": words_of(config), "asked": asked})
        except (InputError, OSError) as error:
            exit_with(in_one_line(error))
        self._before = cells.failures(directory)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        failed = {
            name: found
            for name, found in cells.failures(Path(config.hydra.sweep.dir)).items()
            if found != self._before.get(name)
        }
        if not failed:
            return
        count = "1 cell" if len(failed) == 1 else f"{len(failed)} cells"
        print(f"error: {count} failed; run the same command again to retry:", file=sys.stderr)
        for name, (error, _) in failed.items():
            print(f"  {name}: {error}", file=sys.stderr)
        sys.exit(FAILED)


def _plain(config: DictConfig) -> dict[str, Any]:
    """All but Hydra's own part, resolved, in plain types."""
    return resolvers.plain(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    )


def _check_values(config: DictConfig) -> None:
    """Every value that a sweep goes over, each with the first one of the others.

    Those of a group (``model=``) are configurations of their own, looked at when their jobs begin.
    """
    swept: dict[str, list[Any]] = {}
    for override in overrides_of(config):
        if override.is_discrete_sweep() and not override.is_delete():
            swept[override.key_or_group] = list(override.sweep_iterator())
    values = {k: v for k, v in swept.items() if v and k not in config.hydra.runtime.choices}
    first = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for key, found in values.items():
        OmegaConf.update(first, key, found[0])
    parse(_plain(first))
    for key, found in values.items():
        for value in found[1:]:
            one = first.copy()
            OmegaConf.update(one, key, value)
            parse(_plain(one))


def _check_told_apart(config: DictConfig) -> None:
    """Refuse a sweep over a key of which the place that its cells write to says nothing."""
    plain: Any = OmegaConf.to_container(config)  # not resolved
    places = {"hydra.sweep.subdir": plain["hydra"]["sweep"]["subdir"]}
    if config.task == "train":
        places["fine_tuned"] = plain["fine_tuned"]
    # A place also names what the values that it names are made of: seeds, by ${seed}.
    made_of = {key: f"{place} {_made_of(place, plain)}" for key, place in places.items()}
    swept = [o.key_or_group for o in overrides_of(config) if o.is_sweep_override()]
    for (key, place), name in product(places.items(), swept):
        value = f"hydra:runtime.choices.{name}" if name in config.hydra.runtime.choices else name
        chosen = rf"hydra[.:]runtime\.choices\.{re.escape(name)}}}"
        whole = "".join(f"|{re.escape(node)}}}" for node in _nodes_around(name))
        known = rf"\$\{{({re.escape(name)}[.}}]{whole}|{chosen}|hydra[.:]job\.)"
        if not re.search(known, made_of[key]):
            raise InputError(
                f"{key} does not name {name}, so that cells would overwrite each other; "
                f"add '{key}={place}-${{{value}}}'"
            )


def _nodes_around(name: str) -> list[str]:
    """The nodes that a dotted name lies in: whoever names one names all that is in it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _made_of(place: str, plain: Mapping[str, Any]) -> str:
    """The values, not resolved, of the top-level keys that a place names."""
    names = re.findall(r"\$\{(\w+)\}", place)
    return " ".join(str(plain[name]) for name in names if not isinstance(plain.get(name), dict))


def _check_plugin(group: str, node: DictConfig) -> None:
    module = str(OmegaConf.select(node, "_target_")).rpartition(".")[0]
    package = ".".join(module.split(".")[:2])
    if package.startswith("hydra_plugins.") and not _installed(package):
        name = package.removeprefix("hydra_plugins.").replace("_", "-")
        extra = "ray" if "ray" in name else "sweep"
        raise InputError(f"{group} needs {name}, which is missing: pip install -e '.[{extra}]'")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it would lie in
        return False


def _check_writable(directory: Path, key: str) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InputError(
            disk_full(error)
            or f"cannot write to {key}={directory} ({error.strerror}); name another directory"
        ) from error
