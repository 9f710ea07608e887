"""What the files of a sweep or a run say, read for tables and reports."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vitprune.errors import InputError
from vitprune.results.command_lines import overrides_of, words_of
from vitprune.results.settings import settings_of
from vitprune.results.writing import FAILURE, RESULTS

AXES = ("dataset", "model", "metric", "direction", "k")
"""The keys by which the table is laid out."""
SAID_BY_AXES = ("task", "metric", "direction", "k", "dataset.name", "model.name", "model.k")
"""Settings that the axes say already."""
WITHOUT_EFFECT = ("curve", "curve_seeds")
"""Settings on which no figure of the table depends."""


@dataclass(frozen=True)
class Settings:
    """What tells one cell of a sweep from another: its axes, and all else that was configured.

    Attributes:
        others: the other settings by their dotted names, values as JSON has them.
    """

    dataset: str
    model: str
    metric: str
    direction: str
    k: int
    others: tuple[tuple[str, str | int | float | bool | None], ...] = ()

    def other(self, name: str) -> Any:
        """A setting that is no axis; None if it is not known."""
        return dict(self.others).get(name)


@dataclass(frozen=True)
class Answers:
    """Both models' Top-1 answers to the test videos: class indices [N], as ``predictions.csv``."""

    video: tuple[str, ...]
    label: NDArray[np.int64]
    full: NDArray[np.int64]
    pruned: NDArray[np.int64]

    @property
    def full_hits(self) -> NDArray[np.bool_]:
        """Which videos the full model gets right, [N]."""
        return self.full == self.label

    @property
    def pruned_hits(self) -> NDArray[np.bool_]:
        """Which videos the pruned model gets right, [N]."""
        return self.pruned == self.label


@dataclass(frozen=True)
class Relevance:
    """Relevance of U units under some metrics, as ``scores.csv`` has it."""

    units: tuple[str, ...]
    mean: Mapping[str, NDArray[np.float64]]
    standard_error: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Cell:
    """A finished cell: what lies in its directory; None for files that it lacks."""

    path: Path
    settings: Settings
    results: Mapping[str, Any]

    @cached_property
    def answers(self) -> Answers | None:
        """``predictions.csv``."""
        rows = _rows(self.path / "predictions.csv")
        if not rows:
            return None
        label, full, pruned = (
            np.array([int(row[name]) for row in rows]) for name in ("label", "full", "pruned")
        )
        return Answers(tuple(row["video"] for row in rows), label, full, pruned)

    @cached_property
    def relevance(self) -> Relevance | None:
        """``scores.csv``."""
        rows = _rows(self.path / "scores.csv")
        if not rows:
            return None
        columns = {
            name: np.array([float(r[name]) for r in rows]) for name in rows[0] if name != "unit"
        }
        metrics = [name for name in columns if f"{name}_se" in columns]
        return Relevance(
            tuple(row["unit"] for row in rows),
            {metric: columns[metric] for metric in metrics},
            {metric: columns[f"{metric}_se"] for metric in metrics},
        )

    @cached_property
    def curve(self) -> Mapping[str, Any] | None:
        """``curve.json``."""
        return read_json(self.path / "curve.json")

    @cached_property
    def history(self) -> list[dict[str, str]]:
        """``metrics.csv`` of the fine-tuning that the checkpoint comes from; empty if not there."""
        return _rows(Path(self.results["ckpt"]).parent / "metrics.csv")

    @property
    def leakage(self) -> str:
        """On how many clips that are evaluated or scored the checkpoint was trained; or empty."""
        found: Mapping[str, int] = self.results.get("leakage") or {}
        if "unknown" in found:
            return "whether its checkpoint was trained on these clips is not known"
        counts = " and ".join(f"{count} {split} clips" for split, count in found.items())
        return f"its checkpoint was trained on {counts}: the figures are too high" if counts else ""

    @cached_property
    def overrides(self) -> list[str]:
        """What the command line said."""
        found = OmegaConf.to_container(_read_yaml(self.path / ".hydra" / "overrides.yaml"))
        return [str(override) for override in found] if isinstance(found, list) else []


@dataclass(frozen=True)
class Unfinished:
    """A cell without results: failed, with its error, or started and never finished."""

    path: Path
    settings: Settings | None
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Sweep:
    """All cells below a directory.

    Attributes:
        directory: where they were looked for.
        cells: the finished ones, the newest of each settings, in order of settings.
        unfinished: failed and started ones.
        asked: axis -> the values that the sweep's command names; empty for a single run.
        command: the arguments of that command.
        older: how many finished cells have a newer one with the same settings.
    """

    directory: Path
    cells: Sequence[Cell]
    unfinished: Sequence[Unfinished]
    asked: Mapping[str, Sequence[str]]
    command: Sequence[str]
    older: int = 0

    @property
    def failed(self) -> list[Unfinished]:
        """Cells that ended with an error."""
        return [cell for cell in self.unfinished if cell.error is not None]

    def place(self, cell: Cell | Unfinished) -> str:
        """Where a cell lies below the directory; the directory's own name for a single run."""
        path = cell.path.relative_to(self.directory)
        return path.as_posix() if path.parts else cell.path.resolve().name


def read_sweep(directory: str | Path) -> Sweep:
    """Every cell below ``directory``, however its folders are named.

    A finished cell is where a ``results.json`` of prune.py lies, a failed one where there is a
    ``failure.json``, and a started one where there is only Hydra's configuration.

    Raises:
        InputError: there is no such directory, or no cell in it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"no directory {directory}; name a sweep's, or a run's")
    finished: list[Cell] = []
    unfinished: list[Unfinished] = []
    for path in sorted(set(_folders(directory))):
        found = _read(path)
        if isinstance(found, Cell):
            finished.append(found)
        elif found is not None:
            unfinished.append(found)
    finished.sort(key=lambda cell: (cell.path / RESULTS).stat().st_mtime_ns)
    newest = {cell.settings: cell for cell in finished}
    if not newest and not unfinished:
        raise InputError(f"no {RESULTS} of prune.py in {directory} or below; nothing to show")
    command, asked = _command(directory)
    return Sweep(
        directory,
        sorted(newest.values(), key=lambda cell: str(cell.settings)),
        unfinished,
        asked,
        command,
        older=len(finished) - len(newest),
    )


def sweep_and_seed(
    module: str, description: str, arguments: Sequence[str] | None
) -> tuple[Sweep, int]:
    """The sweep that a command line names, and the seed of its bootstrap.

    Args:
        module: whose command line it is, in ``vitprune.reporting``.
        description: of what it does with the sweep.
        arguments: the command line; None for the process's own.

    Raises:
        InputError: see :func:`read_sweep`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m vitprune.reporting.{module}", description=description
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a sweep, or of a run")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    options = parser.parse_args(arguments)
    return read_sweep(options.directory), options.seed


def read_json(path: Path) -> Any:
    """What a JSON file holds; None if it is not there or cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _folders(directory: Path) -> Iterator[Path]:
    for name in (RESULTS, FAILURE, ".hydra/config.yaml"):
        for file in directory.rglob(name):
            yield file.parent.parent if name.startswith(".hydra") else file.parent


def _read(path: Path) -> Cell | Unfinished | None:
    results = read_json(path / RESULTS)
    if results is None and (path / RESULTS).is_file():
        return Unfinished(path, _configured(path), f"{RESULTS} cannot be read")
    if results is not None:
        if not {"dropped", "full", "pruned", "paired"} <= set(results):
            return None  # of train.py or evaluate.py
        return Cell(path, _settings(results, results.get("settings", {})), results)
    failure = read_json(path / FAILURE)
    settings = _configured(path)
    if failure is not None:
        return Unfinished(path, settings, str(failure.get("error", "unknown error")))
    return Unfinished(path, settings) if settings is not None else None


def _settings(axes: Mapping[str, Any], configured: Mapping[str, Any]) -> Settings:
    """The settings of a cell from its axes and from its resolved configuration."""
    others = dict(_flat(configured))
    return Settings(
        dataset=axes["dataset"]["name"],
        model=axes["model"]["name"],
        metric=axes["metric"],
        direction=axes["direction"],
        k=axes["k"],
        others=tuple(
            (name, others[name]) for name in sorted({*others} - {*SAID_BY_AXES, *WITHOUT_EFFECT})
        ),
    )


def _flat(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(node) if isinstance(node, list) else node


def _configured(path: Path) -> Settings | None:
    """The settings of a cell without results, from the configuration that Hydra kept."""
    cfg = _read_yaml(path / ".hydra" / "config.yaml")
    if not isinstance(cfg, DictConfig) or cfg.get("task") != "prune":
        return None
    try:
        configured = settings_of(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
        return _settings(configured, configured)
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError):  # a part was cut off
        return None


def _command(directory: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The arguments of a multirun's command, and what values they give the axes."""
    cfg = _read_yaml(directory / "multirun.yaml")
    if not isinstance(cfg, DictConfig):
        return [], {}
    asked: dict[str, list[str]] = {}
    for override in overrides_of(cfg):
        if override.key_or_group not in AXES or override.is_delete():
            continue
        if override.is_discrete_sweep():
            asked[override.key_or_group] = list(override.sweep_string_iterator())
        elif not override.is_sweep_override():
            asked[override.key_or_group] = [str(override.value())]
    return words_of(cfg), asked


def _read_yaml(path: Path) -> DictConfig | ListConfig:
    """What Hydra wrote; empty if it is not there, or if a job was killed while it was written."""
    try:
        return OmegaConf.load(path)
    except (OSError, YAMLError, OmegaConfBaseException):
        return OmegaConf.create()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
