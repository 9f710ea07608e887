"""V-JEPA 2: its encoder with an attentive probe. The predictor, which no class needs, is left out.

Assran, Bardes, Fan et al.: V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction
and Planning. 2025, https://arxiv.org/abs/2506.09985.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from vitprune.models.chain import Block, Tokens
from vitprune.models.hub.branches import HubAttention, HubMlp, taken_out
from vitprune.models.hub.model import HubModel, hub_architecture

TINY = {
    "frames_per_clip": 8, "crop_size": 64, "hidden_size": 48, "num_attention_heads": 4,
    "num_pooler_layers": 1, "pred_hidden_size": 12,
    "pred_num_hidden_layers": 1,
}  # fmt: skip


@hub_architecture(
    "vjepa2", title="V-JEPA 2", base={"frames_per_clip": 64, "crop_size": 256}, tiny=TINY
)
class VJepa2(HubModel):
    """Joint attention over tubelets with rotary positions; a learned query pools all tokens."""

    model_type = "vjepa2"
    frames_key, size_key = "frames_per_clip", "crop_size"
    last_norm = None  # the pooler ends in an MLP
    any_frames = True  # rotary positions go on

    def adopt(self, original: Any, config: Any) -> Iterator[Block]:
        encoder = original.vjepa2.encoder
        self.patch = (config.tubelet_size, config.patch_size, config.patch_size)
        self.embeddings = encoder.embeddings
        self.norm = encoder.layernorm
        self.head_pool = original.pooler
        self.head = original.classifier
        for i, layer in enumerate(encoder.layer):
            attention = HubAttention(
                layer.norm1, layer.attention, taken_out(layer.attention, "proj"),
                config.num_attention_heads, layer.drop_path,
            )  # fmt: skip
            mlp = HubMlp(
                layer.norm2, layer.mlp.fc1, layer.mlp.activation, layer.mlp.fc2, layer.drop_path
            )
            yield Block(i, {"attention": attention, "mlp": mlp})

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.head_pool(self.norm(tokens.x)))
