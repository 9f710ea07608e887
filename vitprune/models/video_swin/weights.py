"""Video Swin's weights as others write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isqrt

from torch import Tensor
from torchvision.models import get_model_weights

from vitprune.models.formats import Format, State
from vitprune.models.positions import interpolate

_BLOCK_RULES = (
    (r"^(blocks\.\d+)\.norm1\.", r"\1.branches.attention.norm."),
    (r"^(blocks\.\d+)\.attn\.", r"\1.branches.attention."),
    (r"^(blocks\.\d+)\.norm2\.", r"\1.branches.mlp.norm."),
)


def _number_layers(state: State, layer: str, merging: str) -> State:
    """Number the layers across stages, and put patch merging in front of the layer after it.

    Args:
        state: as its source wrote it.
        layer: pattern of what a layer's keys begin with; its groups: stage, number in the stage.
        merging: the same for patch merging; its group: the stage before the one that follows.
    """
    found = (re.match(layer, key) for key in state)
    layers = sorted({(int(m[1]), int(m[2])) for m in found if m})
    numbers = {stage_and_number: number for number, stage_and_number in enumerate(layers)}

    def rename(key: str) -> str:
        if m := re.match(layer, key):
            return f"blocks.{numbers[int(m[1]), int(m[2])]}.{key[m.end() :]}"
        if (m := re.match(merging, key)) and (int(m[1]) + 1, 0) in numbers:
            return f"blocks.{numbers[int(m[1]) + 1, 0]}.before.0.merge.{key[m.end() :]}"
        return key

    return {rename(key): value for key, value in state.items()}


FORMATS = (
    # torchvision/models/video/swin_transformer.py
    Format(
        "torchvision's Video Swin",
        (r"^features\.\d+\.\d+\.attn\.relative_position_bias_table$", r"^patch_embed\.proj\."),
        (
            *_BLOCK_RULES,
            (r"^(blocks\.\d+)\.mlp\.0\.", r"\1.branches.mlp.fc1."),
            (r"^(blocks\.\d+)\.mlp\.3\.", r"\1.branches.mlp.fc2."),
            # A classifier that users have rebuilt: LayerNorm, Dropout, Linear.
            (r"^head\.0\.", "head_norm."),
            (r"^head\.2\.", "head."),
        ),
        lambda state: _number_layers(
            state, r"features\.(\d+)\.(\d+)\.", r"features\.(\d+)\.(?=reduction|norm)"
        ),
    ),
    # https://github.com/SwinTransformer/Video-Swin-Transformer and
    # https://github.com/open-mmlab/mmaction2, mmaction/models/backbones/swin.py. The second
    # numbers the norm by the stage whose output it is for, which in a classifier is the last.
    Format(
        "the Video-Swin-Transformer repository's or MMAction2's Video Swin",
        (r"^backbone\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table$",),
        (
            *_BLOCK_RULES,
            (r"^(blocks\.\d+)\.mlp\.", r"\1.branches.mlp."),
            (r"^backbone\.patch_embed\.", "patch_embed."),
            (r"^backbone\.norm\d?\.", "norm."),
            (r"^cls_head\.fc_cls\.", "head."),
        ),
        lambda state: _number_layers(
            state,
            r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.",
            r"backbone\.layers\.(\d+)\.downsample\.",
        ),
    ),
)

KINETICS400 = {
    size: get_model_weights(f"swin3d_{size}")["KINETICS400_V1"].url for size in ("t", "s", "b")
}
"""Variant -> where torchvision publishes it."""


def resize_bias(table: Tensor, index: Tensor | None, window: Sequence[int]) -> Tensor:
    """Relative position biases [(2t-1)(2s-1)(2s-1), H] to those of another window.

    Bicubic over space, as Video Swin inflates image models, then linear over time. A table whose
    window cannot be told stays as it is.

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
    space = interpolate(space, [side, side], new_sides, "bicubic")
    time = space.unflatten(1, (frames, heads)).transpose(0, 1).flatten(1)
    return interpolate(time, [frames], [new_frames], "linear").reshape(-1, heads)


def _window(rows: int, tokens: int) -> tuple[int, int] | None:
    """2t-1 and 2s-1 of the window t x s x s that has that many tokens and biases."""
    for s in range(1, isqrt(tokens) + 1):
        t = tokens // s**2
        if t * s**2 == tokens and (2 * t - 1) * (2 * s - 1) ** 2 == rows:
            return 2 * t - 1, 2 * s - 1
    return None
