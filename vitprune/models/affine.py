"""Affine maps of tokens, taken up by the layer whose output they follow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d | nn.Conv3d


@torch.no_grad()
def follow(layer: Layer, weight: Tensor, bias: Tensor) -> bool:
    """Let a layer give ``y @ weight + bias`` for what is now its output y; in place.

    Args:
        layer: linear, or a convolution.
        weight: [C, C] for an output of C channels.
        bias: [C].

    Returns:
        Whether it can: it has a bias.
    """
    if layer.bias is None:
        return False
    rows = layer.weight.flatten(1).to(weight)
    layer.weight.copy_((weight.T @ rows).view_as(layer.weight))
    layer.bias.copy_(layer.bias.to(weight) @ weight + bias)
    return True


@torch.no_grad()
def follow_offsets(offsets: Iterable[nn.Parameter], weight: Tensor) -> None:
    """Let parameters [..., C] that are added to a layer's output be ``p @ weight``; in place."""
    for offset in offsets:
        offset.copy_(offset.to(weight) @ weight)


@torch.no_grad()
def follow_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> bool:
    """As :func:`follow` for a norm over C channels, which takes up factors of channels alone."""
    factors = weight.diagonal()
    if norm.bias is None or not torch.equal(weight, torch.diag(factors)):
        return False
    norm.weight.copy_(norm.weight.to(weight) * factors)
    norm.bias.copy_(norm.bias.to(weight) * factors + bias)
    return True
