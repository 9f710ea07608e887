"""The full model's way through its chain, step by step, and where each unit's stream departs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from torch import nn

from vitprune.importance.unit import Unit, blocks_of, branches_of, named_attentions, units_of
from vitprune.models.chain import Attention, Branch, Tokens, VideoTransformer


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
    """Those of them that are ablated altogether; none if only a head is."""


class FullStream:
    """Runs all steps; iterating yields a :class:`Departure` per unit, in order.

    It runs no further than the departures taken so far need. Once they are all taken and the
    iterator is exhausted, ``tokens`` is what comes out of the last step.

    A unit's departure costs what its block does from the unit's first step to its last without
    the unit. A head's costs one linear layer of the head's width: its attention is computed once,
    for the full stream and all of its heads.

    Args:
        model: in eval mode.
        tokens: what its ``embed`` gave.
        scope: what kind of units.
        units: those that are to be ablated.

    Attributes:
        steps: the chain as a flat list of Tokens -> Tokens modules: for each block, what comes
            before it and its branches.
        tokens: what came out of the last step that was run.

    Raises:
        ValueError: an unknown scope, a unit that the model does not have, or gates that are set.
    """

    def __init__(
        self, model: VideoTransformer, tokens: Tokens, scope: str, units: Collection[Unit]
    ) -> None:
        known = set(units_of(model, scope))
        if missing := [str(unit) for unit in units if unit not in known]:
            raise ValueError(f"the model has no {scope} unit {', '.join(missing)}")
        if any(_is_gated(module) for module in model.modules()):
            raise ValueError("the model has gates set; take them off before ablating")
        self.tokens = tokens
        self.steps, self._spans = _unroll(model, scope, set(units))

    def __iter__(self) -> Iterator[Departure]:
        spans = self._spans
        departing: dict[int, list[Unit]] = {}
        for unit in sorted(spans):
            departing.setdefault(spans[unit].last, []).append(unit)
        entered = {span.first for span in spans.values() if span.ablated}
        before = self.tokens
        for position, step in enumerate(self.steps):
            if position in entered:
                before = self.tokens
            leaving = departing.get(position, [])
            if isinstance(step, Attention) and leaving and not spans[leaving[0]].ablated:
                yield from self._without_heads(position, step, leaving)
                continue
            self.tokens = step(self.tokens)
            for unit in leaving:
                without = self._without(before, spans[unit])
                yield Departure(unit, position + 1, without, self.tokens)

    def _without(self, tokens: Tokens, span: Span) -> Tokens:
        for position in range(span.first, span.last + 1):
            step = self.steps[position]
            if position in span.ablated:
                assert isinstance(step, Branch)
                tokens = step.skip(tokens)
            else:
                tokens = step(tokens)
        return tokens

    def _without_heads(
        self, position: int, attention: Attention, units: Collection[Unit]
    ) -> Iterator[Departure]:
        skip = attention.skip(self.tokens)
        heads = attention.heads(self.tokens)
        self.tokens = skip._replace(x=skip.x + attention.project(heads))
        del skip
        for unit in units:
            assert unit.head is not None
            without = self.tokens.x - attention.contribution(heads, unit.head)
            yield Departure(unit, position + 1, self.tokens._replace(x=without), self.tokens)


def _unroll(
    model: VideoTransformer, scope: str, units: Collection[Unit]
) -> tuple[list[nn.Module], dict[Unit, Span]]:
    steps: list[nn.Module] = []
    spans: dict[Unit, Span] = {}
    for block in blocks_of(model):
        steps += block.before
        at = {branch: len(steps) + i for i, branch in enumerate(block.branches.values())}
        steps += block.branches.values()
        if scope == "head":
            for name, attention in named_attentions(block).items():
                span = Span(at[attention], at[attention], ())
                heads = (Unit(block.index, head, name) for head in range(attention.num_heads))
                spans |= {unit: span for unit in heads if unit in units}
        elif Unit(block.index) in units:
            ablated = [at[branch] for branch in branches_of(block, scope)]
            spans[Unit(block.index)] = Span(min(ablated), max(ablated), frozenset(ablated))
    return steps, spans


def _is_gated(module: nn.Module) -> bool:
    return isinstance(module, Branch) and (
        module.gate is not None or (isinstance(module, Attention) and module.head_gate is not None)
    )
