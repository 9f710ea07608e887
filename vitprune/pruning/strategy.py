"""Which layers go: relevance to an ordered list of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitprune.importance import Scores
from vitprune.models.chain import VideoTransformer, drop_layers
from vitprune.training import VideoClassifier

Score = Callable[[VideoTransformer], Scores]
"""Measures the relevance of a model's layers."""
Rank = Callable[[Scores], Sequence[int]]
"""Orders the layers that were scored; the first is the first to go."""


class Plan(NamedTuple):
    """The layers to drop, and what the choice rests on.

    Attributes:
        dropped: k layers; the first is the first to go.
        scores: of the full model.
    """

    dropped: tuple[int, ...]
    scores: Scores


def oneshot(model: VideoTransformer, k: int, score: Score, rank: Rank) -> Plan:
    """Score once, drop the first k of the ranking: the paper's way."""
    scores = score(model)
    return Plan(tuple(rank(scores)[:k]), scores)


def greedy(model: VideoTransformer, k: int, score: Score, rank: Rank) -> Plan:
    """Drop the first of the ranking, score what is left again, and so on.

    Costs k scorings, each on a smaller model; sees that a layer matters more once another is gone.
    """
    first = scores = score(model)
    dropped = [rank(scores)[0]]
    while len(dropped) < k:
        scores = score(drop_layers(model, dropped))
        dropped.append(rank(scores)[0])
    return Plan(tuple(dropped), first)


def drop(full: VideoClassifier, plan: Plan) -> VideoClassifier:
    """The classifier without the layers of a plan; the given one is left as it was."""
    return full.with_model(drop_layers(full.model, plan.dropped))


STRATEGIES = {"oneshot": oneshot, "greedy": greedy}
