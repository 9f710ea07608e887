"""Results -> W&B: `tracker` a run, `lineage` its artifacts, `dashboard` the project's workspace."""

from vitprune.tracking.tracker import Tracker

__all__ = ["Tracker"]
