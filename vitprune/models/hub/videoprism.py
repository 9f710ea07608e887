"""VideoPrism: a factorised encoder, first over space, then over time.

Zhao, Gundavarapu, Yuan et al.: VideoPrism: A Foundational Visual Encoder for Video Understanding.
ICML 2024, https://arxiv.org/abs/2402.13217.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vitprune.models.chain import Block, Tokens
from vitprune.models.hub.branches import SpaceAttention, TimeAttention, branches_of
from vitprune.models.hub.model import HubModel, hub_architecture

TINY = {
    "num_frames": 8, "image_size": 64, "tubelet_size": [1, 16, 16], "hidden_size": 48,
    "num_attention_heads": 4, "intermediate_size": 192,
}  # fmt: skip


@hub_architecture(
    "videoprism", title="VideoPrism", base={"num_frames": 16, "image_size": 288}, tiny=TINY
)
class VideoPrism(HubModel):
    """Layers over space within frames, then layers over time; a learned query pools all tokens."""

    model_type = "videoprism_vision_model"
    last_norm = None  # its scale is one more than its weight
    any_frames = any_size = True  # as transformers' interpolate_pos_encoding

    def adopt(self, original: Any, config: Any) -> Iterator[Block]:
        model = original.vision_model
        self.patch = tuple(config.tubelet_size)
        self.embeddings = _Space(model.spatial_embeddings)
        self.norm, self.head = model.layernorm2, original.classifier
        self.head_pool, self.head_norm = original.head, original.head_layernorm
        space, time, heads = model.spatial_layers, model.temporal_layers, config.num_attention_heads
        between = _Between(model.layernorm1, model.temporal_embeddings)
        for i, layer in enumerate([*space, *time]):
            parts = branches_of(layer, heads, SpaceAttention if i < len(space) else TimeAttention)
            yield Block(i, parts, [between] if i == len(space) else [])

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.head_norm(self.head_pool(self.norm(tokens.x))[0]).squeeze(1))


class _Space(nn.Module):
    """transformers' embedding of frames, [B, T, 3, H, W] to [B, T * HW, C]."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original = original

    def forward(self, frames: Tensor) -> Tensor:
        embedded = self.original(frames, interpolate_pos_encoding=True)
        return embedded.unflatten(0, frames.shape[:2]).flatten(1, 2)


class _Between(nn.Module):
    """What lies between the layers over space and those over time: a norm, and time's positions."""

    def __init__(self, norm: nn.Module, positions: nn.Module) -> None:
        super().__init__()
        self.norm, self.positions = norm, positions

    def forward(self, tokens: Tokens) -> Tokens:
        (frames, height, width), x = tokens.grid, self.norm(tokens.x)
        shape = (len(x), frames, 3, height, width)  # only its batch and frames are looked at
        lines = self.positions(x.unflatten(1, (frames, -1)).flatten(0, 1), shape, True)
        return Tokens(lines.unflatten(0, (len(x), -1)).transpose(1, 2).flatten(1, 2), tokens.grid)
