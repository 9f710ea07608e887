"""What a sweeper such as Optuna's maximises: one number from the results of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_to_spare(results: Mapping[str, Any], keep: float = 0.98, least: float = 0.0) -> float:
    """How many layers were dropped, if the pruned model is good enough; what it lacks if not.

    Args:
        results: as in ``results.json``.
        keep: the share of Top-1 that the pruned model must keep.
        least: the share is taken of this Top-1 if the full model's is lower. Without it a badly
            trained model, which has nothing to lose, would win.

    Returns:
        k where Top-1 is at least ``keep`` of the full model's; else a number below 0, nearer to
        0 the less is missing.

    >>> layers_to_spare({"k": 5, "full": {"top1": 0.9}, "pruned": {"top1": 0.89}})
    5.0
    >>> round(layers_to_spare({"k": 9, "full": {"top1": 0.9}, "pruned": {"top1": 0.45}}), 2)
    -0.48
    """
    reference = max(results["full"]["top1"], least)
    kept = results["pruned"]["top1"] / reference if reference else 0.0
    return float(results["k"]) if kept >= keep else kept - keep
