"""How a job says that its cell is finished, or that it failed and with what.

Nothing here imports torch, so that a sweep that has nothing left to do says so at once. What
the cells hold is read by :mod:`vitprune.reporting.reading`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vitprune.files import replacing
from vitprune.settings import differences, settings_of

log = logging.getLogger(__name__)

RESULTS = "results.json"
"""Written last of a cell's files: where it is, the cell is finished."""
FAILURE = "failure.json"


def finished(directory: Path, cfg: DictConfig) -> Mapping[str, Any] | None:
    """The results in ``directory`` if a job of the same settings wrote them, else None."""
    try:
        results = json.loads((directory / RESULTS).read_text())
        written = (directory / RESULTS).stat().st_mtime
    except (OSError, ValueError):
        return None
    changed = differences(results.get("settings"), settings_of(cfg))
    if changed:
        shown = ", ".join(changed[:4]) + (", ..." if len(changed) > 4 else "")
        log.info("%s holds a cell of another %s: running it anew", directory, shown)
        return None
    if cfg.get("objective") and "val" not in results:
        log.info("%s has no figures of the val split for objective: running it anew", directory)
        return None
    checkpoint = Path(results["ckpt"])
    if checkpoint.is_file() and checkpoint.stat().st_mtime > written:
        log.info("%s is newer than %s: running the cell anew", checkpoint, directory)
        return None
    return results


def record_failure(directory: Path, line: str, overrides: Sequence[str]) -> None:
    """Say in ``failure.json`` why there is no ``results.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    with replacing(directory / FAILURE) as temporary:
        values = {"error": line, "overrides": list(overrides)}
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def failures(sweep: Path) -> dict[str, tuple[str, int]]:
    """The cells under ``sweep`` that failed: directory -> error and when it was written (ns)."""
    found = {}
    for path in sorted(sweep.rglob(FAILURE)):
        error = str(json.loads(path.read_text())["error"])
        found[str(path.parent.relative_to(sweep))] = (error, path.stat().st_mtime_ns)
    return found
