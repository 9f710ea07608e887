"""Which units go: relevance to an ordered list of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitprune.importance import Scores, Unit
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.unit import outermost

Score = Callable[[VideoTransformer], Scores]
"""Measures the relevance of a model's units of a scope."""
Rank = Callable[[Scores], Sequence[Unit]]
"""Orders the units that were scored; the first is the first to go."""


class Plan(NamedTuple):
    """The units to drop, and what the choice rests on.

    Attributes:
        dropped: the first is the first to go; where units of all kinds go, some may be parts of
            later ones, so that any beginning of it is a plan, too.
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
    """The units that are to go: ``k`` that are not part of each other, or all that can.

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
    first = scores = score(model)
    dropped: list[Unit] = []
    while now := _beginning(rank(scores)[:at_once], dropped, k, first.units):
        dropped += now
        if at_once is None or len(outermost(dropped, first.units)) == k:
            break
        scores = score(drop_units(model, dropped))
    return Plan(tuple(dropped), first)


def _beginning(
    order: Sequence[Unit], gone: Sequence[Unit], k: int, among: Sequence[Unit]
) -> list[Unit]:
    """As much of an order as it takes, after those that are gone, to ``k`` outermost units."""
    for count in range(len(order) + 1):
        if len(outermost([*gone, *order[:count]], among)) == k:
            return list(order[:count])
    return list(order)
