"""Ablating many units of one model at the price of few forward passes.

Ablating a unit leaves everything before it as it was, so that part is computed once. The *full
stream* walks through the chain; at every unit a further *stream* departs from it, in which the
unit is ablated. Streams that are at the same step go through it as one batch: a staircase.

Cost. A stream costs what lies behind its unit, so in a chain of L equal layers scoring all of them
costs (L+1)/2 forward passes (full one included) instead of L+1. For a head, its layer's attention
is computed once for all heads, and one head's projected contribution is subtracted per stream; for
a group of hidden neurons likewise.

Memory. Streams go in *waves* of ``max_streams``: a wave is collected from the full stream, run to
the logits, and only then does the full stream move on. Nothing is computed twice for it; what a
smaller wave costs is smaller batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vitprune.importance.stream import Departure, FullStream
from vitprune.models.chain import Block, Branch, PartedBranch, Tokens, VideoTransformer
from vitprune.models.places import Place, blocks_of, places_of, units_of
from vitprune.models.unit import Unit, Units

Autocast: TypeAlias = Callable[[], AbstractContextManager]
"""Gives the context of each forward, for mixed precision."""

SMALL = 64 * 2**20
"""Waves are not made narrower to save fewer bytes than this."""
FORWARD = 9
"""Least peak of a plain forward pass over the bytes of its embedded tokens: 9 to 11, measured."""
BATCH = 20
"""Most that a branch holds over the bytes of the tokens that go in, for streams that go as one
batch. In most branches it is 9 to 11; 18 where MViT v2 widens before it pools."""
TOGETHER = 2**30
"""Bytes of tokens that sets of layers may hold together."""
HELD = 4
"""The full stream's tokens, and its layer's heads and their sum, which it holds during a wave.
Hidden neurons are wider than heads; :data:`BATCH` leaves room for them, measured."""


Ablated: TypeAlias = frozenset[Unit]
"""A set of units that are ablated together."""


@dataclass(frozen=True)
class Ablation:
    """The logits of a model without each of its units.

    Attributes:
        full: logits of the full model, [B, num_classes].
        ablated: logits with one unit ablated, [U, B, num_classes].
        units: the U units.
    """

    full: Tensor
    ablated: Tensor
    units: list[Unit]


def ablate(
    model: VideoTransformer,
    clips: Tensor,
    scope: str = "layer",
    *,
    units: Units | None = None,
    max_streams: int | None = None,
) -> Ablation:
    """Logits of the full model, and with each unit ablated, weights untouched.

    The logits are those of one whole forward pass per unit (to rounding). Runs in eval mode,
    whatever mode the model is in, without gradients, and under the caller's autocast.

    Args:
        model: full, or already without some units.
        clips: [B, 3, T, H, W], normalised.
        scope: ``layer``, ``attention`` (only the layer's attention), ``mlp``, ``head``,
            ``neurons`` or, for all of them, ``any``.
        units: which units, of any scopes, instead of all of one.
        max_streams: how many streams go through the model as one batch, so at most
            ``max_streams * B`` rows. None for as many as keep the peak of memory (parameters and
            activations) under twice that of a plain forward pass on the same clips.

    Raises:
        ValueError: an unknown scope, a unit that the model does not have, ``max_streams`` below
            one, or a model with gates set.
    """
    units = units_of(model, scope) if units is None else list(places_of(model, units))
    if max_streams is not None and max_streams < 1:
        raise ValueError(f"max_streams={max_streams}, and at least one is needed")
    logits: dict[Unit, Tensor] = {}
    with evaluating(model), torch.no_grad():
        tokens = model.embed(clips)
        most_bytes = bytes_for_streams(model, tokens)
        stream = FullStream(model, tokens, units)
        departures = iter(stream)
        while wave := _next_wave(departures, max_streams, most_bytes):
            going = [departure.unit for departure in wave]
            logits.update(zip(going, _finish(model, stream.steps, wave), strict=True))
        full = model.classify(stream.tokens)
        ablated = [logits[unit] for unit in units]
        return Ablation(full, torch.stack(ablated) if ablated else full[None][:0], units)


def ablate_sets(model: VideoTransformer, clips: Tensor, sets: Sequence[Units]) -> Tensor:
    """Logits [S, B, num_classes] with each of S sets of units ablated, weights untouched.

    Sets that agree on the layers so far share one stream, so that a curve's k+1 nested sets, or
    the pruned models of several metrics, pay only for what lies behind their first difference.
    Streams go through a block in batches as in :func:`ablate`. The tokens of all of them are held;
    where they would take more than :data:`TOGETHER`, the sets go on from there in halves.

    Raises:
        ValueError: a unit that the model does not have.
    """
    found = [places_of(model, units) for units in sets]
    wanted = [frozenset(units) for units in found]
    there = {unit: place for units in found for unit, place in units.items()}
    with evaluating(model), torch.no_grad():
        tokens = model.embed(clips)
        most_bytes = bytes_for_streams(model, tokens)
        nothing: Ablated = frozenset()
        streams = {nothing: tokens}
        logits = _through(model, blocks_of(model), streams, {*wanted}, there, most_bytes)
        return torch.stack([logits[units] for units in wanted])


def _through(
    model: VideoTransformer,
    blocks: Sequence[Block],
    streams: Mapping[Ablated, Tokens],
    wanted: Set[Ablated],
    there: Mapping[Unit, Place],
    most_bytes: int,
) -> dict[Ablated, Tensor]:
    """The logits of each wanted set, from the streams before the first of the ``blocks``.

    Args:
        model: whose blocks they are.
        blocks: those that are ahead.
        streams: tokens by the units that were ablated so far.
        wanted: the sets of units.
        there: where all of these units are.
        most_bytes: of tokens that go through a block as one batch.
    """
    ahead = {block.index for block in blocks}
    for position, block in enumerate(blocks):
        ahead.discard(block.index)
        behind = {_behind(units, ahead) for units in wanted}
        if len(behind) > 1 and len(behind) * _bytes(next(iter(streams.values()))) > TOGETHER:
            logits: dict[Ablated, Tensor] = {}
            in_order = sorted(behind, key=sorted)
            for half in in_order[: len(behind) // 2], in_order[len(behind) // 2 :]:
                needed = {_behind(units, {block.index}) for units in half}
                logits |= _through(
                    model,
                    blocks[position:],
                    {units: streams[units] for units in needed},
                    {units for units in wanted if _behind(units, ahead) in half},
                    there,
                    most_bytes,
                )
            return logits
        alike: dict[Ablated, list[Ablated]] = {}  # what is ablated here -> the sets so far
        for units in sorted(behind, key=sorted):
            alike.setdefault(units - _behind(units, {block.index}), []).append(units)
        following: dict[Ablated, Tokens] = {}
        for here, sets in alike.items():
            before = [streams[units - here] for units in sets]
            width = max(1, most_bytes // _bytes(before[0]))
            with _ablated([there[unit] for unit in here]):
                for start in range(0, len(sets), width):
                    group = before[start : start + width]
                    x, grid = block(_joined(group))
                    parts = zip(sets[start : start + width], x.chunk(len(group)), strict=True)
                    following |= {units: Tokens(part, grid) for units, part in parts}
        streams = following
    return {units: model.classify(tokens) for units, tokens in streams.items()}


def _behind(units: Ablated, ahead: Set[int]) -> Ablated:
    """Those units whose layers are not ahead."""
    return frozenset(unit for unit in units if unit.layer not in ahead)


def ablate_together(model: VideoTransformer, clips: Tensor, units: Units) -> Tensor:
    """Logits [B, num_classes] with all ``units`` ablated at once, weights untouched.

    Equal to those of :func:`vitprune.pruning.drop_units` with the same units.

    Raises:
        ValueError: a unit that the model does not have.
    """
    return ablate_sets(model, clips, [units])[0]


@contextmanager
def without(model: VideoTransformer, units: Units) -> Iterator[None]:
    """The model in eval mode and as if ``units`` were absent, weights untouched.

    Raises:
        ValueError: a unit that the model does not have.
    """
    with evaluating(model), _ablated(places_of(model, units).values()):
        yield


@contextmanager
def _ablated(places: Iterable[Place]) -> Iterator[None]:
    whole: list[Branch] = []
    gates: dict[PartedBranch, Tensor] = {}
    try:
        for place in places:
            if place.unit.number is None:
                whole += place.branches
                for branch in place.branches:
                    branch.ablated = True
                continue
            parted = place.parted
            if parted not in gates:
                gates[parted] = parted.last.weight.new_ones(len(parted.numbers))
                parted.part_gate = gates[parted]
            gates[parted][place.part] = 0
        yield
    finally:
        for branch in whole:
            branch.ablated = False
        for parted in gates:
            parted.part_gate = None


def bytes_for_streams(model: VideoTransformer, tokens: Tokens) -> int:
    """How many bytes of tokens may go as one batch, peak memory under twice a plain forward's.

    Args:
        model: whose parameters count as memory in use, too.
        tokens: what its ``embed`` gave: the widest that its streams will be.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return (max(weights, SMALL) + (2 * FORWARD - HELD) * _bytes(tokens)) // BATCH


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; afterwards every module is in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _next_wave(
    departures: Iterator[Departure], max_streams: int | None, most_bytes: int
) -> list[Departure]:
    """The next streams that go as one batch; none when all have gone.

    Where tokens shrink on their way, as in pyramids, later waves are wider.
    """
    wave: list[Departure] = []
    for departure in departures:
        wave.append(departure)
        streams = len(wave)
        full = (streams + 1) * _bytes(departure.ablated) > most_bytes
        if full if max_streams is None else streams == max_streams:
            break
    return wave


def _bytes(tokens: Tokens) -> int:
    return tokens.x.numel() * tokens.x.element_size()


def _finish(
    model: VideoTransformer, steps: Sequence[nn.Module], wave: list[Departure]
) -> tuple[Tensor, ...]:
    """Runs a wave (in order of departure) to its logits, [B, num_classes] for each stream.

    Empties ``wave`` as its streams join the batch, so that their tokens are not held twice.
    """
    streams = len(wave)
    waiting = deque(wave)
    wave.clear()
    tokens: Tokens | None = None
    for position in range(waiting[0].step, len(steps)):
        tokens = steps[position](_join(tokens, waiting, position))
    return model.classify(_join(tokens, waiting, len(steps))).chunk(streams)


def _join(tokens: Tokens | None, waiting: deque[Departure], position: int) -> Tokens:
    """The batch on its way, with the streams that take the step at ``position`` next."""
    parts = [] if tokens is None else [tokens]
    while waiting and waiting[0].step == position:
        parts.append(waiting.popleft().ablated)
    return _joined(parts)


def _joined(streams: Sequence[Tokens]) -> Tokens:
    """Streams as one batch."""
    if len(streams) == 1:
        return streams[0]
    return Tokens(torch.cat([tokens.x for tokens in streams]), streams[0].grid)
