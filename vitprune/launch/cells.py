"""How a job says that its cell is finished, or that it failed and with what.

Nothing here imports torch, so that a sweep that has nothing left to do says so at once. What
the cells hold is read by :mod:`vitprune.results.reading`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitprune.files import file_digest, files_digest, replacing
from vitprune.results.settings import differences
from vitprune.results.writing import FAILURE, RESULTS

log = logging.getLogger(__name__)


def finished(
    directory: Path, settings: Mapping[str, Any], checkpoint: Path
) -> Mapping[str, Any] | None:
    """The results in ``directory`` if they are what a job would find again, else None.

    Args:
        directory: of the cell.
        settings: of the job, see :func:`vitprune.results.settings.settings_of`.
        checkpoint: what the job would use. Where it is no longer there, its results still count,
            if it is the one that they name.
    """
    try:
        results = json.loads((directory / RESULTS).read_text())
    except (OSError, ValueError):
        return None
    if "asked" not in results:
        log.info("%s holds a cell of an older version: running it anew", directory)
        return None
    changed = differences(results["asked"], settings)
    if changed:
        shown = ", ".join(changed[:4]) + (", ..." if len(changed) > 4 else "")
        log.info("%s holds a cell of another %s: running it anew", directory, shown)
        return None
    if checkpoint.is_file():
        same = file_digest(checkpoint) == results.get("ckpt_digest")
    else:
        same = str(checkpoint) == results.get("ckpt")
    if not same:
        log.info("%s holds a cell of another checkpoint than %s", directory, checkpoint)
        return None
    root = Path(settings["dataset"]["root"])
    if root.is_dir() and files_digest(root) != results["dataset"].get("files"):
        log.info("%s holds a cell of other files than those now in %s", directory, root)
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
