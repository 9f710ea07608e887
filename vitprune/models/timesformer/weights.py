"""TimeSformer's weights as others write them."""

from __future__ import annotations

import re

from vitprune.models.formats import Format, State

_OFFICIAL_RULES = (
    (r"^model\.", ""),
    (r"^(blocks\.\d+)\.temporal_norm1\.", r"\1.branches.time.norm."),
    (r"^(blocks\.\d+)\.temporal_attn\.", r"\1.branches.time."),
    (r"^(blocks\.\d+)\.temporal_fc\.", r"\1.branches.time.fc."),
    (r"^(blocks\.\d+)\.norm1\.", r"\1.branches.space.norm."),
    (r"^(blocks\.\d+)\.attn\.", r"\1.branches.space."),
    (r"^(blocks\.\d+)\.norm2\.", r"\1.branches.mlp.norm."),
    (r"^(blocks\.\d+)\.mlp\.", r"\1.branches.mlp."),
)

_HUB_RULES = (
    (r"^timesformer\.embeddings\.cls_token$", "cls_token"),
    (r"^timesformer\.embeddings\.position_embeddings$", "pos_embed"),
    (r"^timesformer\.embeddings\.time_embeddings$", "time_embed"),
    (r"^timesformer\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^timesformer\.encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"^timesformer\.layernorm\.", "norm."),
    (r"^classifier\.", "head."),
    (r"^(blocks\.\d+)\.temporal_layernorm\.", r"\1.branches.time.norm."),
    (r"^(blocks\.\d+)\.temporal_attention\.attention\.qkv\.", r"\1.branches.time.qkv."),
    (r"^(blocks\.\d+)\.temporal_attention\.output\.dense\.", r"\1.branches.time.proj."),
    (r"^(blocks\.\d+)\.temporal_dense\.", r"\1.branches.time.fc."),
    (r"^(blocks\.\d+)\.layernorm_before\.", r"\1.branches.space.norm."),
    (r"^(blocks\.\d+)\.attention\.attention\.qkv\.", r"\1.branches.space.qkv."),
    (r"^(blocks\.\d+)\.attention\.output\.dense\.", r"\1.branches.space.proj."),
    (r"^(blocks\.\d+)\.layernorm_after\.", r"\1.branches.mlp.norm."),
    (r"^(blocks\.\d+)\.intermediate\.dense\.", r"\1.branches.mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.branches.mlp.fc2."),
)


def _copy_space_to_time(state: State) -> State:
    """Give an image model the temporal attention that TimeSformer starts its training with.

    Attention over time begins as a copy of attention over space, norms included
    (timesformer/models/helpers.py, load_pretrained).
    """
    copied = dict(state)
    for key, value in state.items():
        if (name := re.sub(r"^(blocks\.\d+)\.(attn|norm1)\.", r"\1.temporal_\2.", key)) != key:
            copied[name] = value
    return copied


_UNSUPPORTED = "vitprune has TimeSformer's divided space-time attention (divST) only"

FORMATS = (
    # https://github.com/facebookresearch/TimeSformer, timesformer/models/vit.py
    Format(
        "the official TimeSformer repository's",
        (r"^(model\.)?blocks\.\d+\.temporal_attn\.qkv\.", r"^(model\.)?time_embed$"),
        _OFFICIAL_RULES,
    ),
    Format(
        "the official TimeSformer repository's joint_space_time",
        (r"^(model\.)?blocks\.\d+\.attn\.qkv\.", r"^(model\.)?time_embed$"),
        refusal=_UNSUPPORTED,
    ),
    Format(
        "the official TimeSformer repository's space_only",
        # What tells it from an image model's is the wrapper that all of TimeSformer's have.
        (r"^model\.blocks\.\d+\.attn\.qkv\.", r"^model\.pos_embed$"),
        refusal=_UNSUPPORTED,
    ),
    # https://huggingface.co/facebook, transformers/models/timesformer/modeling_timesformer.py
    Format(
        "the hub's TimeSformer",
        (r"^timesformer\.encoder\.layer\.\d+\.temporal_attention\.",),
        _HUB_RULES,
    ),
    Format(
        "the hub's joint_space_time or space_only TimeSformer",
        (r"^timesformer\.encoder\.layer\.\d+\.attention\.",),
        refusal=_UNSUPPORTED,
    ),
    # timm/models/vision_transformer.py
    Format(
        "timm's ViT image",
        (r"^blocks\.\d+\.attn\.qkv\.", r"^pos_embed$", r"^patch_embed\.proj\."),
        # timm itself drops the pre_logits that some of its older files have.
        ((r"^pre_logits\.", None), *_OFFICIAL_RULES),
        _copy_space_to_time,
        # timm's headless models have no classifier, and an image model knows nothing of time.
        fresh=r"^time_embed$|\.branches\.time\.fc\.|^head\.",
    ),
)

KINETICS400 = {
    "base": "https://huggingface.co/facebook/timesformer-base-finetuned-k400"
    "/resolve/main/pytorch_model.bin"
}
"""Variant -> where it is published."""
