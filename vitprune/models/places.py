"""Where a model has its units."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from vitprune.models.chain import Block, Branch, PartedBranch, VideoTransformer
from vitprune.models.unit import ANY, Unit, Units, check_scope, in_words, read_units


class Place(NamedTuple):
    """Where a unit is in a model.

    Attributes:
        unit: which one.
        block: its layer.
        branches: those that it is made of, in order of execution; of a head or a group of neurons,
            the one that it is part of.
    """

    unit: Unit
    block: Block
    branches: list[Branch]

    @property
    def parted(self) -> PartedBranch:
        """The branch of a head or a group of neurons."""
        (branch,) = self.branches
        assert isinstance(branch, PartedBranch)
        return branch

    @property
    def part(self) -> int:
        """Which of the parts that its branch still has a head or a group of neurons is."""
        assert self.unit.number is not None
        return self.parted.numbers.index(self.unit.number)


def blocks_of(model: VideoTransformer) -> list[Block]:
    """The blocks of a model, typed."""
    return [block for block in model.blocks if isinstance(block, Block)]


def places(model: VideoTransformer) -> dict[Unit, Place]:
    """All units that a model has, of every scope and in order of execution, and where."""
    return {
        unit: Place(unit, block, branches)
        for block in blocks_of(model)
        for unit, branches in block.units().items()
        if branches
    }


def units_of(model: VideoTransformer, scope: str = "layer") -> list[Unit]:
    """All units that ``model`` has in a scope, in order of execution; in ``any``, those of all.

    Raises:
        ValueError: an unknown scope.
    """
    check_scope(scope)
    return [unit for unit in places(model) if scope in (ANY, unit.scope)]


def resolved(model: VideoTransformer, unit: Unit) -> Unit:
    """The unit as ``model`` calls it: a head without the name of its layer's last attention.

    ``3.space.5`` is ``3.5`` where layer 3 ends in an attention that is called ``space``. Whether
    the model has such a unit is not looked at.
    """
    last = {block.index: block.attention_names[-1:] for block in blocks_of(model)}
    if unit.scope == "head" and last.get(unit.layer) == (unit.branch,):
        return replace(unit, branch="")
    return unit


def places_of(model: VideoTransformer, units: Units) -> dict[Unit, Place]:
    """Where a model has some units, by what it calls them, in the order in which they are given.

    Raises:
        ValueError: a text that is no unit, or one that the model does not have; says which.
    """
    there = places(model)
    wanted = [resolved(model, unit) for unit in read_units(units)]
    if missing := [unit for unit in wanted if unit not in there]:
        beside = [u for u in there if (u.layer, u.scope) == (missing[0].layer, missing[0].scope)]
        has = f"layers {', '.join(map(str, model.layers))}" if not beside else in_words(beside)
        raise ValueError(f"the model has no {in_words(missing)}; it has {has}")
    return {unit: there[unit] for unit in wanted}
