"""What a checkpoint was fine-tuned with, as it says itself, and which clips it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitprune.data.excerpts import Excerpt, by_digest


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint was fine-tuned with.

    Attributes:
        settings: of the fine-tuning, in JSON's types: ``model``, ``dataset`` and ``seed``.
        splits: name of a split -> digest of the list of its clips.
        trained_on: what the weights were fitted to.
    """

    settings: Mapping[str, Any]
    splits: Mapping[str, str]
    trained_on: Sequence[Excerpt] = field(repr=False)

    def seen(self, excerpts: Sequence[Excerpt]) -> list[int]:
        """Which of ``excerpts`` overlap with what was trained on: their positions."""
        trained = by_digest(self.trained_on)
        return [
            i
            for i, excerpt in enumerate(excerpts)
            if any(map(excerpt.overlaps, trained.get(excerpt.digest, ())))
        ]

    def plain(self) -> dict[str, Any]:
        """As a checkpoint keeps it: plain types, which ``weights_only=True`` reads."""
        return {
            "settings": dict(self.settings),
            "splits": dict(self.splits),
            "trained_on": [list(excerpt) for excerpt in self.trained_on],
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Provenance:
        """What :meth:`plain` gave."""
        trained_on = [Excerpt(*parts) for parts in plain["trained_on"]]
        return cls(plain["settings"], plain["splits"], trained_on)
