"""The full model's way through its chain, step by step, and where each unit's stream departs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from torch import nn

from vitprune.models.chain import Branch, PartedBranch, Tokens, VideoTransformer
from vitprune.models.places import Place, blocks_of, places_of
from vitprune.models.unit import Unit, Units


class Departure(NamedTuple):
    """Where one unit's stream leaves the full stream.

    Attributes:
        unit: what is ablated.
        step: the step that the stream takes next.
        ablated: the stream's tokens.
        full: the full stream's tokens at the same step.
    """

    unit: Unit
    step: int
    ablated: Tokens
    full: Tokens


class Span(NamedTuple):
    """The steps from the first to the last one that a unit has a part in, both included."""

    first: int
    last: int
    ablated: Collection[int]
    """Those of them that are ablated altogether; none if only a part of the step is."""


class FullStream:
    """Runs all steps; iterating yields a :class:`Departure` per unit, in order.

    It runs no further than the departures taken so far need. Once they are all taken and the
    iterator is exhausted, ``tokens`` is what comes out of the last step.

    A unit's departure costs what its block does from the unit's first step to its last without
    the unit. A head's costs one linear layer of the head's width: its attention is computed once,
    for the full stream and all of its heads. So does that of a group of hidden neurons.

    Args:
        model: in eval mode.
        tokens: what its ``embed`` gave.
        units: those that are to be ablated, of any scopes.

    Attributes:
        steps: the chain as a flat list of Tokens -> Tokens modules: for each block, what comes
            before it and its branches.
        tokens: what came out of the last step that was run.

    Raises:
        ValueError: a unit that the model does not have, or something that is ablated or gated
            already.
    """

    def __init__(self, model: VideoTransformer, tokens: Tokens, units: Units) -> None:
        there = places_of(model, units)
        if any(isinstance(module, Branch) and module.touched for module in model.modules()):
            raise ValueError("the model has gates set; take them off before ablating")
        self.tokens = tokens
        self.steps: list[nn.Module] = []
        at: dict[nn.Module, int] = {}
        for block in blocks_of(model):
            self.steps += block.before
            at |= {branch: len(self.steps) + i for i, branch in enumerate(block.branches.values())}
            self.steps += block.branches.values()
        self._spans = {unit: _span(place, at) for unit, place in there.items()}

    def __iter__(self) -> Iterator[Departure]:
        spans = self._spans
        departing: dict[int, list[Unit]] = {}
        needed: dict[int, int] = {}  # where units begin -> until where what comes in is held
        for unit in sorted(spans):
            first, last, ablated = spans[unit]
            departing.setdefault(last, []).append(unit)
            if ablated:
                needed[first] = max(last, needed.get(first, 0))
        held: dict[int, Tokens] = {}
        for position, step in enumerate(self.steps):
            if position in needed:
                held[position] = self.tokens
            leaving = departing.get(position, [])
            parts = None
            if isinstance(step, PartedBranch) and any(not spans[unit].ablated for unit in leaving):
                skip, parts = step.skip(self.tokens), step.parts(self.tokens)
                self.tokens = skip._replace(x=skip.x + step.project(parts))
                del skip
            else:
                self.tokens = step(self.tokens)
            for unit in leaving:
                span = spans[unit]
                if span.ablated:
                    without = self._without(held[span.first], span)
                else:
                    assert isinstance(step, PartedBranch)
                    assert parts is not None
                    assert unit.number is not None
                    x = self.tokens.x - step.contribution(parts, unit.number)
                    without = self.tokens._replace(x=x)
                yield Departure(unit, position + 1, without, self.tokens)
            held = {first: tokens for first, tokens in held.items() if needed[first] > position}

    def _without(self, tokens: Tokens, span: Span) -> Tokens:
        for position in range(span.first, span.last + 1):
            step = self.steps[position]
            if position in span.ablated:
                assert isinstance(step, Branch)
                tokens = step.skip(tokens)
            else:
                tokens = step(tokens)
        return tokens


def _span(place: Place, at: Mapping[nn.Module, int]) -> Span:
    steps = [at[branch] for branch in place.branches]
    return Span(steps[0], steps[-1], () if place.unit.number is not None else frozenset(steps))
