"""A part of the way through a model: what its tokens are at any point, and on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from vitprune.models.branches import Tokens
from vitprune.models.chain import Block, VideoTransformer

Point = tuple[int, int]
"""How many of the blocks that are there are behind, and how many steps of the next one: first what
stays of layers that were dropped in front of it, then what else precedes it, then each branch."""

START: Point = (0, 0)
"""Behind the embedding."""


def layer_end(model: VideoTransformer, layer: int) -> Point:
    """Where a layer ends, or ended before it was dropped.

    Args:
        model: full or pruned.
        layer: its number in the unpruned model.
    """
    for number, block in enumerate(cast("Iterable[Block]", model.blocks)):
        if block.index > layer:
            return number, 1
    return end(model)


def end(model: VideoTransformer) -> Point:
    """Where only what reads out is left."""
    return len(model.blocks), 1


def branch_start(model: VideoTransformer, layer: int, branch: str) -> Point:
    """Where a branch of a layer that is there begins; one step further it ends.

    Args:
        model: full or pruned.
        layer: its number in the unpruned model.
        branch: its name.
    """
    number = model.layers.index(layer)
    return number, 2 + list(cast(Block, model.blocks[number]).branches).index(branch)


def walk(model: VideoTransformer, tokens: Tokens, start: Point, goal: Point) -> Tokens:
    """The tokens of one point as they are at a later one."""
    for number in range(start[0], goal[0] + 1):
        steps = _steps(model, number)
        first = start[1] if number == start[0] else 0
        for step in steps[first : goal[1] if number == goal[0] else None]:
            tokens = step(tokens)
    return tokens


def _steps(model: VideoTransformer, number: int) -> list[Callable[[Tokens], Tokens]]:
    if number == len(model.blocks):
        return [model.after]
    block = cast(Block, model.blocks[number])
    theirs = len(block.before) - block.own
    return [block.before[:theirs], block.before[theirs:], *block.branches.values()]
