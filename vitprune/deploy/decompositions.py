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

    Where the kernel is as large as the stride each patch is seen once: a linear layer of patches.
    Otherwise it is the sum, over the kernel's frames, of a convolution within frames.

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
    kernel = list(weight.shape[2:])
    if kernel == stride and not any(padding) and groups == 1:
        return _patches(input, weight, bias, kernel)
    frames = F.pad(input, (0, 0, 0, 0, padding[0], padding[0]))
    count = (frames.shape[2] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    total = None
    for i in range(kernel[0]):
        first = i * dilation[0]
        part = frames[:, :, first : first + stride[0] * (count - 1) + 1 : stride[0]]
        found = F.conv2d(
            part.transpose(1, 2).flatten(0, 1), weight[:, :, i], bias if i == 0 else None,
            stride[1:], padding[1:], dilation[1:], groups,
        )  # fmt: skip
        total = found if total is None else total + found
    assert total is not None
    return total.unflatten(0, (-1, count)).transpose(1, 2)


def _patches(x: Tensor, weight: Tensor, bias: Tensor | None, kernel: list[int]) -> Tensor:
    """A convolution whose kernel is as large as its stride, as a linear layer of patches."""
    t, h, w = (size // k for size, k in zip(x.shape[2:], kernel, strict=True))
    x = x[:, :, : t * kernel[0], : h * kernel[1], : w * kernel[2]]  # without what is no whole patch
    x = x.unflatten(4, (w, -1)).unflatten(3, (h, -1)).unflatten(2, (t, -1))
    patches = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # [B, T', H', W', C * kernel]
    return F.linear(patches, weight.flatten(1), bias).permute(0, 4, 1, 2, 3)


def without_conv3d(program: ExportedProgram) -> ExportedProgram:
    """A program with :func:`conv3d` in the place of torch's; the other operators stay."""
    return program.run_decompositions({torch.ops.aten.conv3d.default: conv3d})
