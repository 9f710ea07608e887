"""What a checkpoint was fine-tuned with, as it says itself, and which clips it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple


class Excerpt(NamedTuple):
    """A part of a video file, known by the file's content, wherever it lies.

    Attributes:
        digest: of the file's content, see :func:`vitprune.files.content_digest`.
        start: seconds; None for the file's beginning.
        end: seconds; None for its end.
    """

    digest: str
    start: float | None = None
    end: float | None = None

    def overlaps(self, other: Excerpt) -> bool:
        """Whether both show some moment of the same file."""
        return (
            self.digest == other.digest
            and (self.start or 0) < (inf if other.end is None else other.end)
            and (other.start or 0) < (inf if self.end is None else self.end)
        )


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


def by_digest(excerpts: Iterable[Excerpt]) -> dict[str, list[Excerpt]]:
    """Excerpts by the file that they are of."""
    found: dict[str, list[Excerpt]] = {}
    for excerpt in excerpts:
        found.setdefault(excerpt.digest, []).append(excerpt)
    return found
