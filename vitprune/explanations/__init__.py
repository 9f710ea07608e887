"""The story of the heads, one module an explanation: ``python evaluate.py ckpt=FILE explain=NAME``.

Each asks :mod:`vitprune.explain` for figures and pictures and writes what it finds: what every head
is for, where it looks, and whether that carries over. :data:`EXPLANATIONS` has the names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitprune.cells import publishing
from vitprune.explanations.attention import attention
from vitprune.explanations.boxes import boxes
from vitprune.explanations.causal import causal
from vitprune.explanations.explorer import explorer
from vitprune.explanations.relevance import relevance
from vitprune.explanations.subject import Desk, Load, Subject
from vitprune.explanations.transfer import transfer
from vitprune.launch.configuration import Evaluate
from vitprune.reporting.tracking import Tracker
from vitprune.settings import settings_of

EXPLANATIONS: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "relevance": relevance,
    "attention": attention,
    "boxes": boxes,
    "transfer": transfer,
    "causal": causal,
    "explorer": explorer,
}


def explain(cfg: Evaluate, load: Load, directory: Path, tracker: Tracker) -> dict[str, Any]:
    """What ``cfg.explain`` asks for, written to ``directory``; what ``results.json`` holds."""
    start = time.perf_counter()
    leaked: dict[str, dict[str, int]] = {}

    def noting(*arguments: Any, **options: Any) -> Subject:
        subject = load(*arguments, **options)
        if subject.leakage:
            leaked[subject.dataset] = subject.leakage
        return subject

    found = EXPLANATIONS[cfg.explain](Desk(cfg, noting, directory, tracker))
    results = {
        "explain": cfg.explain,
        "ckpt": str(cfg.ckpt),
        "dataset": cfg.dataset.name,
        "metric": cfg.metric,
        "target": cfg.target,
        "split": cfg.split,
        "calibration": cfg.calibration,
        "query": cfg.query,
        "leakage": leaked or None,
        "seed": cfg.seed,
        **found,
        "seconds": time.perf_counter() - start,
    }
    with publishing(directory, {**results, "settings": settings_of(cfg.plain())}):
        pass
    tracker.summary(results)
    return results


__all__ = ["EXPLANATIONS", "Load", "Subject", "explain"]
