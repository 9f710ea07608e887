"""How fast models are beside each other."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

Name = TypeVar("Name")
"""By which what is measured is told apart."""


def latencies(
    clocks: Mapping[Name, Callable[[], float]], *, seconds: float = 10.0, least: int = 10
) -> dict[Name, tuple[float, float]]:
    """Median and 95th percentile of the milliseconds that each takes.

    They take turns, so that whatever else the machine does strikes all of them alike. It goes on
    for about ``seconds``, and for ``least`` turns in any case, after one that does not count.

    Args:
        clocks: of each, what runs it once and says how many milliseconds that took; see
            :func:`clocked`.
    """
    taken: dict[Name, list[float]] = {name: [] for name in clocks}
    for clock in clocks.values():
        clock()
    end = time.perf_counter() + seconds
    turns = 0
    while turns < least or time.perf_counter() < end:
        for name, clock in clocks.items():
            taken[name].append(clock())
        turns += 1
    return {
        name: (float(np.median(values)), float(np.percentile(values, 95)))
        for name, values in taken.items()
    }


def clocked(run: Callable[[], object]) -> Callable[[], float]:
    """``run`` as one that says how many milliseconds it took."""

    def clock() -> float:
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)

    return clock


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
