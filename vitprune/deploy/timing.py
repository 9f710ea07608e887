"""How fast models are beside each other."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


def latencies(
    runs: Mapping[str, Callable[[], object]], *, seconds: float = 10.0, least: int = 5
) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of the milliseconds that each takes.

    They take turns, so that whatever else the machine does strikes all of them alike. It goes on
    for about ``seconds``, and for ``least`` turns in any case, after one that does not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    turns = 0
    while turns < least or time.perf_counter() < end:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(1e3 * (time.perf_counter() - start))
        turns += 1
    return {
        name: (float(np.median(values)), float(np.percentile(values, 95)))
        for name, values in taken.items()
    }


def processor() -> str:
    """What the machine's processor is called."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def machine(threads: int) -> dict[str, object]:
    """Where something was measured, and with how many threads."""
    return {"processor": processor(), "cpus": os.cpu_count(), "threads": threads}
