"""What the files of a sweep or a run say, read for tables and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vitprune.errors import InputError
from vitprune.results.groups import SEED, Group, rank, recoveries, varying
from vitprune.results.paper import DATASETS, DIRECTIONS, METRICS
from vitprune.results.safety import SafetyCard
from vitprune.results.writing import AXES, FAILURE, RESULTS, STARTED, SWEEP

SAID_BY_AXES = ("task", "metric", "direction", "k", "dataset.name", "model.name", "model.k")
"""Settings that the axes say already."""
WITHOUT_EFFECT = ("curves", "draws")
"""Settings on which no figure of the table depends."""
COLUMNS = ("path", "place", "state", "error", "overrides", *AXES, "settings", "results")

COSTS = ("parameters", "flops", "latency_ms", "checkpoint_bytes")
FIGURES = [
    *(f"{model}.{name}" for model in ("full", "pruned", "recovered") for name in ("top1", *COSTS)),
    "paired.videos",
    "seconds.total",
]
"""Of ``results.json``, as columns."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """All cells below a directory, and what its command asked for.

    Attributes:
        directory: where they were looked for.
        cells: a row a cell, in the paper's order; of finished ones with the same settings only
            the newest. Columns:

            - ``path``, ``place``: its directory; the same as seen from the sweep's.
            - ``state``: ``finished``, ``failed`` or ``started`` (and never finished).
            - ``error``: of a failed cell, one line.
            - ``overrides``: what its command line said.
            - ``dataset``, ``model``, ``metric``, ``direction``, ``k``: None where not known.
            - ``settings``: the other ones, dotted name -> value.
            - ``group``: the :class:`Group` of rows of the table that it belongs to, or None.
            - ``recovery``: what its recovery is called, with what of it varies; empty for none.
            - ``results``: ``results.json`` of a finished cell.
            - :data:`FIGURES`: those in it.
        asked: axis -> the values that the sweep's command names; empty for a single run.
        command: the arguments of that command.
        older: how many finished cells have a newer one with the same settings.
    """

    directory: Path
    cells: pd.DataFrame
    asked: Mapping[str, Sequence[str]]
    command: Sequence[str]
    older: int = 0

    @property
    def finished(self) -> pd.DataFrame:
        """The cells with results."""
        return self.cells[self.cells["state"] == "finished"]

    @property
    def unfinished(self) -> pd.DataFrame:
        """The failed and the started cells."""
        return self.cells[self.cells["state"] != "finished"]

    @property
    def single(self) -> bool:
        """Whether it is one finished run and no sweep."""
        return len(self.finished) == 1 and not (self.asked or self.command)


def read_sweep(directory: str | Path) -> Sweep:
    """Every cell below ``directory``, however its folders are named.

    A finished cell is where a ``results.json`` of prune.py lies, a failed one where there is a
    ``failure.json``, and a started one where there is only ``started.json``.

    Raises:
        InputError: there is no such directory, or no cell in it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"no directory {directory}; name a sweep's, or a run's")
    files = (file for name in (RESULTS, FAILURE, STARTED) for file in directory.rglob(name))
    found = [_read(path, directory) for path in sorted({file.parent for file in files})]
    records = [record for record in found if record is not None]
    if not records:
        raise InputError(f"no {RESULTS} of prune.py in {directory} or below; nothing to show")
    cells = pd.DataFrame(records, columns=COLUMNS, dtype=object)
    cells = cells.where(cells.notna(), None)
    newest = _newest(cells)
    asked = read_json(directory / SWEEP) or {}
    return Sweep(
        directory,
        _in_order(newest),
        asked.get("asked", {}),
        asked.get("command", []),
        older=len(cells) - len(newest),
    )


def read_cheaper_inputs(directory: str | Path) -> dict[str, Any]:
    """Place -> ``results.json`` of every evaluation below ``directory`` in which a checkpoint was
    shown fewer frames or pixels than its own; of those of the same the last written one."""
    found: dict[str, tuple[str, Any]] = {}
    paths = Path(directory).rglob(RESULTS)
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        results = read_json(path) or {}
        own = results.get("own_input")
        if own and all(results["clip_settings"][k] <= own[k] for k in ("num_frames", "image_size")):
            place = path.parent.relative_to(directory).as_posix()
            found[json.dumps([results["ckpt_digest"], results["settings"]])] = place, results
    return dict(found.values())


def read_json(path: Path) -> Any:
    """What a JSON file holds; None if it is not there or cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_answers(path: Path) -> pd.DataFrame:
    """``predictions.csv`` of a cell: classes ``label``, ``full`` and ``pruned`` of every ``video``;
    empty if there is none."""
    return _read_csv(path / "predictions.csv", dtype={"video": str}, keep_default_na=False)


def read_scores(path: Path) -> pd.DataFrame:
    """``scores.csv`` of a cell: by unit, ``JSD`` and its standard error ``JSD_se``, and so on;
    empty if there is none."""
    return _read_csv(path / "scores.csv", dtype={"unit": str}, index_col="unit")


def read_history(checkpoint: str) -> pd.DataFrame:
    """``metrics.csv`` beside a checkpoint: the values that its fine-tuning logged; or empty."""
    return _read_csv(Path(checkpoint).parent / "metrics.csv")


def smallest(results: Mapping[str, Any]) -> str:
    """What the model that a job ends with is called: ``recovered``, or ``pruned`` without that."""
    return "recovered" if "recovered" in results else "pruned"


def card_of(results: Mapping[str, Any]) -> SafetyCard | None:
    """What the model that a job ends with costs whom; None where that was not looked at."""
    plain = (results.get("safety") or {}).get(smallest(results))
    return None if plain is None else SafetyCard.read(plain)


def leakage(results: Mapping[str, Any]) -> str:
    """On how many clips that are evaluated or scored the checkpoint was trained; or empty."""
    found: Mapping[str, int] = results.get("leakage") or {}
    if "unknown" in found:
        return "whether its checkpoint was trained on these clips is not known"
    counts = " and ".join(f"{count} {split} clips" for split, count in found.items())
    return f"its checkpoint was trained on {counts}: the figures are too high" if counts else ""


def left_out(results: Mapping[str, Any]) -> str:
    """How many clips of which split figures do not cover, as they were wrong; or empty."""
    dataset: Mapping[str, Any] = results.get("dataset") or {}
    found = []
    for split, lines in (dataset.get("left_out") or {}).items():
        if split in dataset["clips"]:
            total = dataset["clips"][split] + len(lines)
            found.append(f"{len(lines)} of the {total} clips of the {split} split")
        else:
            found.append(f"{len(lines)} annotations of no known split")
    return ", ".join(found)


def dropped(results: Mapping[str, Any]) -> list[str]:
    """The units that were dropped, as they are written, the first to go first.

    Where they were still numbers, they were layers.
    """
    return [*map(str, results["dropped"])]


def _read(path: Path, directory: Path) -> dict[str, Any] | None:
    """A row of the cells; None for a directory of train.py or evaluate.py."""
    started = read_json(path / STARTED) or {}
    place = path.relative_to(directory)
    cell = {
        "path": path,
        "place": place.as_posix() if place.parts else path.resolve().name,
        "overrides": started.get("overrides", []),
        "settings": {},
    }
    results = read_json(path / RESULTS)
    failure = read_json(path / FAILURE)  # a job that ends well removes it
    if results is not None and failure is None and not _begun_again(path):
        if not {"dropped", "full", "pruned", "paired"} <= set(results):
            return None
        asked = _settings(results, results.get("settings", {}))
        return {**cell, "state": "finished", "results": results, **asked}
    if "settings" in started:
        cell |= _settings(started["settings"], started["settings"])
        if any(limit is not None for limit in started["settings"].get("budget", {}).values()):
            cell["k"] = None  # it would have said how many units go
    if results is None and (path / RESULTS).is_file():
        return {**cell, "state": "failed", "error": f"{RESULTS} cannot be read"}
    if failure is not None:
        return {**cell, "state": "failed", "error": str(failure.get("error", "unknown error"))}
    return {**cell, "state": "started"} if "settings" in started else None


def _begun_again(path: Path) -> bool:
    """Whether a cell was started after its results were written: they are of the job before."""
    started = path / STARTED
    return started.is_file() and started.stat().st_mtime_ns > (path / RESULTS).stat().st_mtime_ns


def _settings(axes: Mapping[str, Any], configured: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's axes, and the other settings of its resolved configuration."""
    others = {n: v for n, v in _flat(configured) if n not in (*SAID_BY_AXES, *WITHOUT_EFFECT)}
    return {
        "dataset": axes["dataset"]["name"],
        "model": axes["model"]["name"],
        **{name: axes[name] for name in ("metric", "direction", "k")},
        "settings": dict(sorted(others.items())),
    }


def _flat(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(node) if isinstance(node, list) else node


def _newest(cells: pd.DataFrame) -> pd.DataFrame:
    """All unfinished cells, then of finished ones with the same settings the last written one."""
    finished = cells[cells["state"] == "finished"]
    written = [(path / RESULTS).stat().st_mtime_ns for path in finished["path"]]
    finished = finished.assign(written=written).sort_values("written", kind="stable")
    same = finished[[*AXES, "settings"]].map(json.dumps)
    finished = finished[~same.duplicated(keep="last")].drop(columns="written")
    return pd.concat([cells[cells["state"] != "finished"], finished], ignore_index=True)


def _in_order(cells: pd.DataFrame) -> pd.DataFrame:
    """With groups and figures, in the paper's order."""
    names = varying(cells)
    # A model's results say what it is called in tables; cells without results do not.
    finished = [results["model"] for results in cells["results"] if results]
    titles = {model["name"]: model["title"] for model in finished if "title" in model}

    def group(cell: Any) -> Group | None:
        if cell.model is None:
            return None
        settings = tuple(f"{name}={cell.settings.get(name)}" for name in names if name != SEED)
        seed = cell.settings.get(SEED) if SEED in names else None
        scope = cell.settings.get("scope", "layer")
        return Group(cell.model, cell.k, settings, seed, titles.get(cell.model, ""), scope)

    def order(cell: Any) -> tuple[Any, ...]:
        if cell.group is None:
            return (False,)
        first = ((cell.dataset, DATASETS), (cell.direction, DIRECTIONS), (cell.metric, METRICS))
        return True, cell.group.order, *(rank(*pair) for pair in first)

    figures = pd.json_normalize([results or {} for results in cells["results"]])
    cells = cells.join(figures.reindex(columns=FIGURES))
    cells["group"] = [group(cell) for cell in cells.itertuples()]
    cells["recovery"] = recoveries(cells)
    keys = [order(cell) for cell in cells.itertuples()]
    return cells.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    return pd.read_csv(path, **options) if path.is_file() else pd.DataFrame()
