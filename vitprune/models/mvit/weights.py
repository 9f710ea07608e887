"""MViT's weights as others write them."""

from __future__ import annotations

import re

import torch
from torchvision.models import get_model_weights

from vitprune.models.formats import Format, State

_BLOCK_RULES = (
    (r"^(blocks\.\d+)\.norm1\.", r"\1.branches.attention.norm."),
    (r"^(blocks\.\d+)\.attn\.", r"\1.branches.attention."),
    (r"^(blocks\.\d+)\.norm2\.", r"\1.branches.mlp.norm."),
)

_PYSLOWFAST_RULES = (
    (r"^(blocks\.\d+)\.attn\.pool_([qkv])\.", r"\1.branches.attention.pool_\2.pool."),
    (r"^(blocks\.\d+)\.attn\.norm_([qkv])\.", r"\1.branches.attention.pool_\2.norm_act.0."),
    *_BLOCK_RULES,
    (r"^(blocks\.\d+)\.mlp\.", r"\1.branches.mlp."),
    (r"^patch_embed\.proj\.", "conv_proj."),
    (r"^cls_token$", "pos_encoding.class_token"),
    (r"^pos_embed_(class|spatial|temporal)$", r"pos_encoding.\1_pos"),
    (r"^head\.projection\.", "head."),
)


def _assign_projection(state: State, name: str) -> State:
    """Put the projection that changes a layer's width into the branch that it belongs to.

    That is the attention in version 2, which alone has relative positions, and the MLP in 1.

    Args:
        state: as its source wrote it.
        name: what the source calls the projection within a layer.
    """
    branch = "attention" if any(".rel_pos_" in key for key in state) else "mlp"
    pattern = rf"^(blocks\.\d+)\.{name}\."
    return {
        re.sub(pattern, rf"\1.branches.{branch}.proj_skip.", key): value
        for key, value in state.items()
    }


def _from_pyslowfast(state: State) -> State:
    """Bring PySlowFast's tensors into torchvision's shapes."""
    shaped = dict(state)
    for key in state:
        # SEPARATE_QKV writes three projections, everything else one.
        if m := re.fullmatch(r"(blocks\.\d+\.attn)\.q\.(weight|bias)", key):
            parts = [shaped.pop(f"{m[1]}.{part}.{m[2]}", None) for part in "qkv"]
            shaped[f"{m[1]}.qkv.{m[2]}"] = torch.cat([p for p in parts if p is not None])
    for key in ("cls_token", "pos_embed_class"):
        if key in shaped:
            shaped[key] = shaped[key].flatten()
    for key in ("pos_embed_spatial", "pos_embed_temporal"):
        if key in shaped:
            shaped[key] = shaped[key].flatten(0, 1)
    return _assign_projection(shaped, "proj")


FORMATS = (
    # torchvision/models/video/mvit.py
    Format(
        "torchvision's MViT",
        (r"^blocks\.\d+\.attn\.project\.0\.", r"^conv_proj\.", r"^pos_encoding\.class_token$"),
        (
            (r"^(blocks\.\d+)\.attn\.project\.0\.", r"\1.branches.attention.proj."),
            *_BLOCK_RULES,
            (r"^(blocks\.\d+)\.mlp\.0\.", r"\1.branches.mlp.fc1."),
            (r"^(blocks\.\d+)\.mlp\.3\.", r"\1.branches.mlp.fc2."),
            (r"^head\.1\.", "head."),
        ),
        lambda state: _assign_projection(state, "project"),
    ),
    # https://github.com/facebookresearch/SlowFast, slowfast/models/attention.py and
    # video_model_builder.py, with configs/Kinetics/{MVIT_B_16x4_CONV,MVITv2_S_16x4}.yaml
    Format(
        "PySlowFast's MViT",
        (r"^blocks\.15\.attn\.pool_k\.weight$", r"^patch_embed\.proj\.", r"^head\.projection\."),
        _PYSLOWFAST_RULES,
        _from_pyslowfast,
    ),
    # The code of 2021 (SlowFast e04fba5) had POOL_KV_KERNEL 1 x 1 x 1 in the last two layers,
    # and so has the file in its model zoo: https://github.com/facebookresearch/SlowFast/issues/456
    Format(
        "PySlowFast's MViT v1 of 2021",
        (r"^blocks\.13\.attn\.pool_k\.", r"^blocks\.15\.attn\.qkv\.", r"^head\.projection\."),
        _PYSLOWFAST_RULES,
        _from_pyslowfast,
        variant="v1_b_2021",
    ),
)

KINETICS400 = {
    variant: get_model_weights(f"mvit_{variant}")["KINETICS400_V1"].url
    for variant in ("v2_s", "v1_b")
}
"""Variant -> where torchvision publishes it."""
