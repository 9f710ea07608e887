"""Operators that devices lack, exactly, in other words.

They take the place of the operator in an exported program, so that models stay as they are written.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.nn import functional as F


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv3d`` without a convolution over three axes.

    Where the kernel's frames are seen once each, they are channels of one convolution within
    frames. Otherwise it is the sum, over the kernel's frames, of such convolutions.

    Args:
        input: [B, C, T, H, W].
        weight: [C', C / groups, t, h, w].
        bias: [C'].
        stride, padding, dilation: along each axis; one number for all.
        groups: of channels.
    """
    stride, padding, dilation = (
        list(values) * 3 if len(values) == 1 else list(values)
        for values in (stride, padding, dilation)
    )
    within = stride[1:], padding[1:], dilation[1:], groups
    frames, *size = input.shape[2:]
    length = weight.shape[2]
    if length == stride[0] and dilation[0] == groups == 1 and not padding[0]:
        count = frames // length
        x = input[:, :, : count * length].flatten(2).unflatten(2, (count, -1)).transpose(1, 2)
        x = x.reshape(-1, weight.shape[1] * length, *size)  # [B T', C t, H, W]
        found = F.conv2d(x, weight.flatten(1, 2), bias, *within)
        return found.unflatten(0, (-1, count)).transpose(1, 2)
    x = F.pad(input.transpose(1, 2), (0, 0, 0, 0, 0, 0, padding[0], padding[0]))
    count = (x.shape[1] - dilation[0] * (length - 1) - 1) // stride[0] + 1
    total = None
    for i in range(length):
        first = i * dilation[0]
        part = x[:, first : first + stride[0] * (count - 1) + 1 : stride[0]].flatten(0, 1)
        found = F.conv2d(part, weight[:, :, i], bias if i == 0 else None, *within)
        total = found if total is None else total + found
    assert total is not None
    return total.unflatten(0, (-1, count)).transpose(1, 2)


def without_conv3d(program: ExportedProgram) -> ExportedProgram:
    """A program with :func:`conv3d` in the place of torch's; the other operators stay."""
    return program.run_decompositions({torch.ops.aten.conv3d.default: conv3d})
