"""Position embeddings of one input size made to fit another, for the architectures to use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitprune.models.formats import State

Resize = Callable[[Tensor, int], Tensor]
"""A table [L, C] and another length to a table of that length."""


def fit(model: nn.Module, state: State, resizes: Mapping[str, Resize]) -> None:
    """Resize, in place, those tables in ``state`` whose size is not the model's.

    Args:
        model: the tables are to fit.
        state: by the model's names.
        resizes: pattern of names -> how to make the table, [..., C], longer or shorter. What it
            cannot resize stays as it is.
    """
    for name, table, own in misfits(model, state):
        for pattern, resize in resizes.items():
            if re.search(pattern, name):
                flat = resize(table.reshape(-1, table.shape[-1]), own[..., 0].numel())
                state[name] = flat.reshape(*own.shape[:-2], *flat.shape)


def misfits(model: nn.Module, state: State) -> list[tuple[str, Tensor, Tensor]]:
    """(name, table in ``state``, the model's own) of all that differ in any size but the last."""
    return [
        (name, state[name], own)
        for name, own in model.state_dict().items()
        if name in state
        and state[name].shape != own.shape
        and state[name].shape[-1] == own.shape[-1]
    ]


def interpolate(table: Tensor, old: Sequence[int], new: Sequence[int], mode: str) -> Tensor:
    """[prod(old), C], laid out as ``old`` says, to [prod(new), C]."""
    grid = table.T.reshape(1, -1, *old).float()
    return F.interpolate(grid, size=tuple(new), mode=mode).flatten(2)[0].T.to(table.dtype)


def line(mode: str) -> Resize:
    """For positions along one axis."""
    return lambda table, length: interpolate(table, [len(table)], [length], mode)


def square(mode: str) -> Resize:
    """For positions in a square; leaves a table that is of none as it is."""

    def resize(table: Tensor, length: int) -> Tensor:
        old, new = isqrt(len(table)), isqrt(length)
        if old**2 != len(table) or new**2 != length:
            return table
        return interpolate(table, [old, old], [new, new], mode)

    return resize


def behind_class_token(resize: Resize) -> Resize:
    """For a table whose first row is the class token's, that stays."""

    def resize_rest(table: Tensor, length: int) -> Tensor:
        return torch.cat([table[:1], resize(table[1:], length - 1)])

    return resize_rest
