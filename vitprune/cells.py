"""How a job says that its cell is finished, or that it failed and with what.

Nothing here imports torch, so that a sweep that has nothing left to do says so at once. What
the cells hold is read by :mod:`vitprune.reporting.reading`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from vitprune.files import file_digest, replacing
from vitprune.settings import differences

log = logging.getLogger(__name__)

RESULTS = "results.json"
"""Written last of a cell's files: where it is, the cell is finished."""
FAILURE = "failure.json"
BEST = "best.ckpt"
"""The outcome of a fine-tuning, in its directory."""


def finished(
    directory: Path, settings: Mapping[str, Any], checkpoint: Path
) -> Mapping[str, Any] | None:
    """The results in ``directory`` if they are what a job would find again, else None.

    Args:
        directory: of the cell.
        settings: of the job, see :func:`vitprune.settings.settings_of`.
        checkpoint: what the job would use. Where it is no longer there, its results still count,
            if it is the one that they name.
    """
    try:
        results = json.loads((directory / RESULTS).read_text())
    except (OSError, ValueError):
        return None
    changed = differences(results.get("asked"), settings)
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


def files_digest(root: str | Path) -> str:
    """A hash of the names, sizes and dates of all files below a dataset's directory.

    Taken once in a process: a job does not change its data.
    """
    return files_digest_of(str(Path(root).absolute()))


@lru_cache(maxsize=64)
def files_digest_of(root: str) -> str:
    """:func:`files_digest` of an absolute path."""
    digest = hashlib.sha256()
    for path in sorted(Path(root).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            stat = path.stat()
            row = [path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns]
            digest.update(json.dumps(row).encode())
    return digest.hexdigest()


@contextmanager
def publishing(directory: Path, results: Mapping[str, Any]) -> Iterator[None]:
    """Around the writing of a job's files, which ends with ``results.json``.

    Results that lie there are taken away only now, when there is something to replace them: until
    the block ends there are none, as its files would be of two jobs.
    """
    (directory / RESULTS).unlink(missing_ok=True)
    yield
    with replacing(directory / RESULTS) as temporary:
        temporary.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


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
