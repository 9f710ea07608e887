"""Parts of video files that are known by what they show, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple


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


def by_digest(excerpts: Iterable[Excerpt]) -> dict[str, list[Excerpt]]:
    """Excerpts by the file that they are of."""
    found: dict[str, list[Excerpt]] = {}
    for excerpt in excerpts:
        found.setdefault(excerpt.digest, []).append(excerpt)
    return found
