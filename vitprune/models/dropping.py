"""Dropping units: a smaller model, in which their parameters are gone."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from vitprune.models.chain import Block, VideoTransformer
from vitprune.models.places import places_of
from vitprune.models.unit import Unit, Units


@torch.inference_mode(False)
def drop_units(model: VideoTransformer, units: Units) -> VideoTransformer:
    """A smaller copy of ``model`` without ``units``; ``model`` is left as it was.

    Its logits equal those of the model with the same units ablated together. What is left keeps the
    numbers that it has in the unpruned model. The copy can be trained, also if it is made in
    inference mode, as Lightning's tests are.

    - Of a layer and of a branch the residual path stays, where it is not the identity
      (:meth:`Block.leftover`). That of a layer goes in front of the next one.
    - Of a head go its rows of what makes queries, keys and values, its columns of the output
      projection, and what else it has of its own; of a group of neurons, rows of the first linear
      layer and columns of the second. The biases of these last layers are of no head and no group:
      a branch of which all are dropped still adds them.
    - A layer all of whose branches are dropped is a dropped layer.

    Args:
        model: full, or already without some units.
        units: of any scopes, such as ``"3.attention,5.7,9.mlp.2"``; see :class:`Unit`.

    Raises:
        ValueError: a unit that the model does not have, or no layer would be left.

    Example:
        >>> from vitprune.models import build_model
        >>> model = build_model("mvit", "tiny")
        >>> smaller = drop_units(drop_units(model, "3.mlp,9.2"), ["9.3", "3.attention", 5])
        >>> [str(unit) for unit in smaller.dropped]
        ['3', '5', '9.2', '9.3']
    """
    gone: dict[int, list[Unit]] = {}
    for unit in places_of(model, units):
        gone.setdefault(unit.layer, []).append(unit)
    blocks = cast("Iterable[Block]", model.blocks)
    whole = {b.index for b in blocks if _all_of(b, gone.get(b.index, ()))}
    if len(whole) == len(model.blocks):
        raise ValueError(f"cannot drop all {len(whole)} layers; at least one must stay")
    smaller = _without_blocks(model)
    kept: list[nn.Module] = []
    carried: list[nn.Module] = []
    for block in blocks:
        if block.index in whole:
            carried += copy.deepcopy(block.leftover())
            continue
        block = copy.deepcopy(block)
        block.drop(gone.get(block.index, ()))
        if carried:
            block.before = nn.Sequential(*carried, *block.before)
            carried = []
        kept.append(block)
    smaller.blocks = nn.ModuleList(kept)
    smaller.after = nn.Sequential(*carried, *smaller.after)
    return smaller


def drop_layers(model: VideoTransformer, layers: Iterable[int]) -> VideoTransformer:
    """A smaller copy of ``model`` without ``layers``: see :func:`drop_units`.

    Args:
        model: full, or already without some units.
        layers: numbers in the unpruned model.

    Raises:
        ValueError: a layer that the model does not have, or none would be left.

    Example:
        >>> from vitprune.models import build_model
        >>> smaller = drop_layers(build_model("mvit", "tiny"), range(2, 14))
        >>> smaller.layers, drop_layers(smaller, [14]).layers
        ((0, 1, 14, 15), (0, 1, 15))
    """
    return drop_units(model, map(Unit, layers))


def _all_of(block: Block, units: Iterable[Unit]) -> bool:
    """Whether the units are all branches that a layer has."""
    own = block.units()
    gone = {branch for unit in units if unit.number is None for branch in own[unit]}
    return gone.issuperset(own[Unit(block.index)])


def _without_blocks(model: VideoTransformer) -> VideoTransformer:
    """A copy of all but the blocks, so that nothing is copied that goes."""
    blocks = model.blocks
    model.blocks = nn.ModuleList()
    try:
        return copy.deepcopy(model)
    finally:
        model.blocks = blocks
