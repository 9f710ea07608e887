"""How often adaptive scoring is wrong, and what it saves, on relevances that were measured.

``python benchmarks/adaptive.py [SCORES.npz ...]`` takes the per-clip scores of finished runs, by
default those of ``make table1``, and draws their clips in 500 random orders until the k layers are
settled at a confidence of 95 %. A run is wrong if it stopped before the last clip with other layers
than all clips give. At most one in twenty may be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from vitprune.importance import DIRECTIONS, Scores, SequentialSelection

CONFIDENCE = 0.95
LAYERS = {12: 3, 24: 6, 16: 5}
"""Number of layers -> k of the paper."""


def simulate(relevance: np.ndarray, k: int, direction: str, runs: int) -> tuple[int, np.ndarray]:
    """Number of wrong runs, and the clips that each run drew, [runs]; ``relevance`` is [N, U]."""
    total, units = relevance.shape
    mean = relevance.mean(0) * (1 if direction == "lowest" else -1)
    truth = set(np.argsort(mean, kind="stable")[:k].tolist())
    generator = np.random.default_rng(0)
    wrong, drawn = 0, np.zeros(runs, dtype=int)
    for run in range(runs):
        selection = SequentialSelection(units, k, direction, CONFIDENCE, total)
        for row in relevance[generator.permutation(total)]:
            if selection.update(row):
                break
        drawn[run] = selection.drawn
        wrong += selection.drawn < total and set(selection.selected) != truth
    return wrong, drawn


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scores", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=500)
    options = parser.parse_args()
    root = Path("runs/sweep/table1_demo")
    paths = options.scores or sorted(root.glob("*/*/R-lowest-*/scores.npz"))
    if not paths:
        print(f"no scores under {root}: run make table1 first, or name scores.npz files")
        return
    table = Table(
        "scores", "direction", "k", "clips", "drawn (mean)", "wrong", "95 % interval",
        title=f"Adaptive scoring by R, confidence {CONFIDENCE}, {options.runs} orders of the clips",
    )  # fmt: skip
    jobs = [(path, direction) for path in paths for direction in DIRECTIONS]
    for path, direction in track(jobs, "orders"):
        scores = Scores.load(path)
        relevance = scores.per_clip("R", "predicted")
        k = LAYERS[relevance.shape[1]]
        wrong, drawn = simulate(relevance, k, direction, options.runs)
        low, high = binomtest(wrong, options.runs).proportion_ci()
        table.add_row(
            " ".join(path.parts[-4:-2]), direction, str(k), str(len(relevance)),
            f"{drawn.mean():.1f}", f"{wrong} of {options.runs}", f"{low:.3f} to {high:.3f}",
        )  # fmt: skip
    Console(width=None if Console().is_terminal else 120).print(table)


if __name__ == "__main__":
    main()
