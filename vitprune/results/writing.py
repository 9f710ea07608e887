"""Results as files that other programs read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitprune.files import replacing

AXES = ("dataset", "model", "metric", "direction", "k")
"""The keys by which Table 1 is laid out."""
RESULTS = "results.json"
"""Written last of a job's files: where it is, the job is finished."""
FAILURE = "failure.json"
"""Says why a cell of a sweep has no results."""
STARTED = "started.json"
"""Written first of the files of a job of prune.py: its ``settings``, and ``overrides`` as given."""
SWEEP = "sweep.json"
"""In a sweep's directory: its ``command`` as given, and ``asked``, the values of every axis."""
BEST = "best.ckpt"
"""The outcome of a fine-tuning, in its directory."""


def write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write ``rows`` under ``header``."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@contextmanager
def publishing(directory: Path, results: Mapping[str, Any]) -> Iterator[None]:
    """Around the writing of a job's files, which ends with ``results.json``.

    Results that lie there are taken away only now, when there is something to replace them: until
    the block ends there are none, as its files would be of two jobs.
    """
    (directory / RESULTS).unlink(missing_ok=True)
    yield
    write_json(directory / RESULTS, results)
