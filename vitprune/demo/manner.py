"""How an action is done in one take: when, how strongly, how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np


@dataclass(frozen=True)
class Manner:
    """How an action is done in one take.

    Args:
        begin: when what happens once begins, in shares of the video,
        length: and how long it takes.
        strength: of movements; 1 is usual.
        tempo: of what is repeated; 1 is usual.
        phase: of what is repeated, in cycles.
    """

    gentlest: ClassVar[float] = 0.85
    """The least strength that is drawn."""
    begin: float
    length: float
    strength: float
    tempo: float
    phase: float

    @classmethod
    def draw(cls, take: np.random.Generator) -> Self:
        """One by chance."""
        return cls(**cls._drawn(take))

    @classmethod
    def _drawn(cls, take: np.random.Generator) -> dict[str, Any]:
        length = float(take.uniform(0.66, 0.9))
        return {
            "length": length,
            "begin": float(take.uniform(0.02, 0.98 - length)),
            "strength": float(take.uniform(cls.gentlest, 1.1)),
            "tempo": float(take.uniform(0.85, 1.15)),
            "phase": float(take.uniform(0, 1)),
        }

    def progress(self, t: float) -> float:
        """From 0, not yet begun, to 1, done, at time ``t`` of the video."""
        return min(max((t - self.begin) / self.length, 0.0), 1.0)

    def cycles(self, t: float, usual: float) -> float:
        """How many cycles have gone by at time ``t``, of ``usual`` in a whole video."""
        return self.phase + usual * self.tempo * t
