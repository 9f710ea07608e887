"""Results -> W&B: runs, artifacts and which comes from which, the dashboard."""

from vitprune.tracking.tracker import Tracker

__all__ = ["Tracker"]
