"""Video Swin's weights as others write them."""

from __future__ import annotations

import re

from vitprune.models.weights.formats import Format, State

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
    places = sorted({(int(m[1]), int(m[2])) for m in found if m})
    numbers = {place: number for number, place in enumerate(places)}

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
        "video_swin",
        (r"^features\.\d+\.\d+\.attn\.relative_position_bias_table$", r"^patch_embed\.proj\."),
        (
            *_BLOCK_RULES,
            (r"^(blocks\.\d+)\.mlp\.0\.", r"\1.branches.mlp.fc1."),
            (r"^(blocks\.\d+)\.mlp\.3\.", r"\1.branches.mlp.fc2."),
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
        "video_swin",
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
