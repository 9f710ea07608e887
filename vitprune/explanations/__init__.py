"""The story of the heads, one module an explanation: ``python evaluate.py ckpt=FILE explain=NAME``.

Each asks :mod:`vitprune.explain` for figures and pictures and writes what it finds: what every head
is for, where it looks, and whether that carries over. :data:`EXPLANATIONS` has the names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vitprune.cells import RESULTS
from vitprune.errors import InputError
from vitprune.explain.attention import ROLLOUT
from vitprune.explanations.attention import attention
from vitprune.explanations.boxes import boxes
from vitprune.explanations.causal import causal
from vitprune.explanations.explorer import explorer
from vitprune.explanations.relevance import relevance
from vitprune.explanations.subject import Desk, Load, Subject
from vitprune.explanations.transfer import transfer
from vitprune.importance import METRICS
from vitprune.reporting import write_json
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


def explain(cfg: DictConfig, load: Load, directory: Path, tracker: Tracker) -> dict[str, Any]:
    """What ``cfg.explain`` asks for, written to ``directory``; what ``results.json`` holds."""
    start = time.perf_counter()
    if cfg.metric not in METRICS:
        raise InputError(
            f"metric={cfg.metric} has no value per clip; explain takes {', '.join(METRICS)}"
        )
    for key in ("clips", "peers", "draws"):
        if not isinstance(cfg[key], int) or cfg[key] < 1:
            raise InputError(f"{key}={cfg[key]} is out of range; it takes whole numbers from 1")
    if cfg.query == ROLLOUT and cfg.explain not in ("relevance", "attention", "causal"):
        raise InputError(
            f"query=rollout is of no head; explain={cfg.explain} takes query=mean or cls"
        )
    found = EXPLANATIONS[cfg.explain](Desk(cfg, load, directory, tracker))
    results = {
        "explain": cfg.explain,
        "ckpt": str(cfg.ckpt),
        "dataset": cfg.dataset.name,
        "metric": cfg.metric,
        "target": cfg.target,
        "split": cfg.split,
        "calibration": cfg.calibration,
        "query": cfg.query,
        "seed": cfg.seed,
        **found,
        "seconds": time.perf_counter() - start,
    }
    tracker.summary(results)
    write_json(directory / RESULTS, {**results, "settings": settings_of(cfg)})
    return results


__all__ = ["EXPLANATIONS", "Load", "Subject", "explain"]
