"""Position embeddings of one input size made to fit another, each as its original does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitprune.models.video_swin import WindowAttention
from vitprune.models.weights.formats import State

Resize = Callable[[Tensor, int], Tensor]
"""A table [L, C] and another length to a table of that length."""


def fit_positions(model: nn.Module, state: State) -> None:
    """Interpolate, in place, those position embeddings in ``state`` whose size is not the model's.

    What cannot be interpolated stays as it is. Swin's ``relative_position_index`` buffers, which
    say no more than for which window a table is, are taken out.
    """
    index = {name: state.pop(name) for name in list(state) if name.endswith(_INDEX)}
    for name, own in model.state_dict().items():
        table = state.get(name)
        if table is None or table.shape == own.shape or table.shape[-1] != own.shape[-1]:
            continue
        if name.endswith(_BIAS):
            attention = model.get_submodule(name.removesuffix("." + _BIAS))
            assert isinstance(attention, WindowAttention)
            pairs = index.get(name.replace(_BIAS, _INDEX))
            state[name] = _resize_bias(table, pairs, attention.window)
            continue
        for pattern, resize in _RESIZE.items():
            if re.search(pattern, name):
                flat = resize(table.reshape(-1, table.shape[-1]), own[..., 0].numel())
                state[name] = flat.reshape(*own.shape[:-2], *flat.shape)


_BIAS = "relative_position_bias_table"
_INDEX = "relative_position_index"


def _interpolate(table: Tensor, old: Sequence[int], new: Sequence[int], mode: str) -> Tensor:
    """[prod(old), C], laid out as ``old`` says, to [prod(new), C]."""
    grid = table.T.reshape(1, -1, *old).float()
    return F.interpolate(grid, size=tuple(new), mode=mode).flatten(2)[0].T.to(table.dtype)


def _line(mode: str) -> Resize:
    return lambda table, length: _interpolate(table, [len(table)], [length], mode)


def _square(mode: str) -> Resize:
    def resize(table: Tensor, length: int) -> Tensor:
        old, new = isqrt(len(table)), isqrt(length)
        if old**2 != len(table) or new**2 != length:
            return table
        return _interpolate(table, [old, old], [new, new], mode)

    return resize


def _behind_class_token(resize: Resize) -> Resize:
    def resize_rest(table: Tensor, length: int) -> Tensor:
        return torch.cat([table[:1], resize(table[1:], length - 1)])

    return resize_rest


def _resize_bias(table: Tensor, index: Tensor | None, window: Sequence[int]) -> Tensor:
    """Swin's relative position biases [(2t-1)(2s-1)(2s-1), H] to those of another window.

    Bicubic over space, as Video Swin inflates image models, then linear over time.

    Args:
        table: of a window of t x s x s.
        index: [tss, tss], which row of the table holds for which pair of tokens. Together with
            the number of rows its size says what t and s are.
        window: the window to fit.
    """
    if index is None or (old := _window(len(table), len(index))) is None:
        return table
    (frames, side), (new_frames, *new_sides) = old, (2 * size - 1 for size in window)
    heads = table.shape[1]
    space = table.reshape(frames, side * side, heads).transpose(0, 1).flatten(1)
    space = _interpolate(space, [side, side], new_sides, "bicubic")
    time = space.unflatten(1, (frames, heads)).transpose(0, 1).flatten(1)
    return _interpolate(time, [frames], [new_frames], "linear").reshape(-1, heads)


def _window(rows: int, tokens: int) -> tuple[int, int] | None:
    """2t-1 and 2s-1 of the window t x s x s that has that many tokens and biases."""
    for s in range(1, isqrt(tokens) + 1):
        t = tokens // s**2
        if t * s**2 == tokens and (2 * t - 1) * (2 * s - 1) ** 2 == rows:
            return 2 * t - 1, 2 * s - 1
    return None


_RESIZE = {
    # TimeSformer: timesformer/models/vit.py, forward_features. (Its load_pretrained resamples
    # the patches as if they lay in one line, which mixes up rows; the forward pass does not.)
    r"^pos_embed$": _behind_class_token(_square("nearest")),
    r"^time_embed$": _line("nearest"),
    # MViT: PySlowFast's slowfast/utils/checkpoint.py, load_checkpoint.
    r"\.spatial_pos$": _square("bicubic"),
    r"\.temporal_pos$": _line("linear"),
    r"\.rel_pos_[thw]$": _line("linear"),
}
"""Pattern of our names -> how the table is made longer or shorter."""
