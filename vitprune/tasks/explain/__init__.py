"""What heads do, one story a module: ``python evaluate.py ckpt=FILE explain=NAME``.

Each asks :mod:`vitprune.heads` for figures and :mod:`vitprune.report` for pictures, and writes what
it finds: what every head is for, where it looks, and whether that carries over.
:data:`EXPLANATIONS` has the names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitprune.tasks.explain.attention import attention
from vitprune.tasks.explain.boxes import boxes
from vitprune.tasks.explain.causal import causal
from vitprune.tasks.explain.explorer import explorer
from vitprune.tasks.explain.relevance import relevance
from vitprune.tasks.explain.study import Study
from vitprune.tasks.explain.transfer import transfer
from vitprune.tasks.run import Run

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate

EXPLANATIONS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "relevance": relevance,
    "attention": attention,
    "boxes": boxes,
    "transfer": transfer,
    "causal": causal,
    "explorer": explorer,
}


@dataclass(frozen=True)
class Explained:
    """What an explanation found.

    Attributes:
        asked: what was asked for.
        found: what the explanation itself says.
        leakage: checkpoint and dataset -> how many clips of which split a model was trained on.
        seconds: that it took.
        settings: all of the configuration.
    """

    asked: Mapping[str, Any]
    found: Mapping[str, Any]
    leakage: Mapping[str, Mapping[str, int]] | None
    seconds: float
    settings: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """As ``results.json`` has it."""
        return {
            **self.asked,
            "leakage": self.leakage,
            **self.found,
            "seconds": self.seconds,
            "settings": self.settings,
        }


def explain(cfg: Evaluate, run: Run) -> Explained:
    """What ``cfg.explain`` asks for."""
    start = time.perf_counter()
    with run:
        study = Study(cfg, run)
        found = EXPLANATIONS[cfg.explain](study)
        results = Explained(
            asked={**cfg.choices(), "ckpt": str(cfg.ckpt), "dataset": cfg.dataset.name},
            found=found,
            leakage=study.leaked or None,
            seconds=time.perf_counter() - start,
            settings=cfg.settings(),
        )
        with run.publishing(results.plain()):
            pass
    run.say_where()
    return results


__all__ = ["EXPLANATIONS", "Explained", "explain"]
