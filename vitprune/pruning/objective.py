"""One number from the results of a job, for a sweeper such as Optuna's to maximise.

It is made of the figures of the validation split, ``results["val"]``, which ``prune.py`` measures
where an objective is configured. The test split must not choose: its Top-1 would then be the best
of many, and too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_to_spare(results: Mapping[str, Any], keep: float = 0.98, least: float = 0.0) -> float:
    """How many layers were dropped, if the pruned model is good enough; what it lacks if not.

    Args:
        results: as in ``results.json``.
        keep: the share of Top-1 on the validation split that the pruned model must keep.
        least: the share is taken of this Top-1 if the full model's is lower. Without it a badly
            trained model, which has nothing to lose, would win.

    Returns:
        k where Top-1 is at least ``keep`` of the full model's; else a number below 0, nearer to
        0 the less is missing.

    >>> layers_to_spare({"k": 5, "val": {"full": {"top1": 0.9}, "pruned": {"top1": 0.89}}})
    5.0
    >>> found = {"full": {"top1": 0.9}, "pruned": {"top1": 0.45}}
    >>> round(layers_to_spare({"k": 9, "val": found}), 2)
    -0.48
    """
    full, pruned = (results["val"][model]["top1"] for model in ("full", "pruned"))
    reference = max(full, least)
    kept = pruned / reference if reference else 0.0
    return float(results["k"]) if kept >= keep else kept - keep
