"""Which units go: relevance to an ordered list of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitprune.importance import Scores, Unit
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units

Score = Callable[[VideoTransformer], Scores]
"""Measures the relevance of a model's units of a scope."""
Rank = Callable[[Scores], Sequence[Unit]]
"""Orders the units that were scored; the first is the first to go."""


class Plan(NamedTuple):
    """The units to drop, and what the choice rests on.

    Attributes:
        dropped: k units; the first is the first to go.
        scores: of the full model.
    """

    dropped: tuple[Unit, ...]
    scores: Scores


def choose(
    model: VideoTransformer,
    k: int,
    score: Score,
    rank: Rank,
    *,
    at_once: int | None = None,
) -> Plan:
    """The ``k`` units that are to go.

    With all at once they are the first of one ranking: the paper's way. With fewer, what is left
    is scored again after each time: one at a time is greedy, costs k scorings, each of a smaller
    model, and sees that a unit matters more once another is gone.

    Args:
        model: what they are dropped from; it is left as it was.
        k: how many.
        score: measures a model's units.
        rank: orders them.
        at_once: how many go between two scorings; None for all.
    """
    first: Scores | None = None
    dropped: list[Unit] = []
    smaller = model
    while len(dropped) < k:
        scores = score(smaller)
        first = first or scores
        now = list(rank(scores)[: min(at_once or k, k - len(dropped))])
        dropped += now
        if len(dropped) < k:
            smaller = drop_units(smaller, now)
    assert first is not None
    return Plan(tuple(dropped), first)
